import { assert, describe } from "@effect/vitest"
import { Deferred, Effect, Layer } from "effect"
import { Broker } from "../../src/domain/ports/Broker.ts"
import { FinishedInputs } from "../../src/domain/ports/FinishedInputs.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import { StoreAway, StoreError } from "../../src/domain/StoreError.ts"
import * as MemoryFinishedInputs from "../../src/layers/memory/MemoryFinishedInputs.ts"
import * as Deduplication from "../../src/streams/Deduplication.ts"
import * as Worker from "../../src/streams/Worker.ts"
import {
  broken,
  deadLetters,
  depth,
  elapse,
  logs,
  onStage,
  seen,
  send,
  settled,
  start,
  stop,
  unsettledOnce,
  watch
} from "../support/TopicStage.ts"

const withMemory = <A, E, R>(test: Effect.Effect<A, E, R>) =>
  Effect.provide(test, Layer.provideMerge(Deduplication.Deduplication.layer, MemoryFinishedInputs.layer))

const storeAway = new StoreError({ reason: new StoreAway({ detail: "away", code: "x" }) })

/** A worker that remembers what it has handled, and fails as often as it is told. */
const counting = (fail: (runs: number) => boolean = () => false, options = {}) => {
  const inputs: Array<unknown> = []
  const worker = Worker.make("w", { topic: "in", outputTopic: "out", dedupe: true, ...options }, (input) =>
    Effect.suspend(() => {
      inputs.push(input)
      return fail(inputs.length) ? Effect.fail("no") : Effect.succeed(inputs.length)
    })
  )
  return { inputs, worker }
}

describe("A topic worker with dedupe", () => {
  onStage("skips an id that it has finished, and handles each other once", () =>
    withMemory(
      Effect.gen(function* () {
        yield* watch("out")
        const { inputs, worker } = counting()
        const { endings } = yield* start(worker)
        for (const id of ["a", "b", "a", "a"]) yield* send("in", `"${id}"`, { id })
        assert.deepStrictEqual(inputs, ["a", "b"])
        assert.deepStrictEqual(endings, ["done", "done", "skipped", "skipped"])
        assert.deepStrictEqual(
          (yield* seen("out")).map(({ id }) => id),
          ["a/w.0", "b/w.0"]
        )
        assert.strictEqual(yield* depth("in.w"), 0)
      })
    )
  )

  onStage("skips what it has dead-lettered, and handles it again when it is replayed, once per replay", () =>
    withMemory(
      Effect.gen(function* () {
        const { inputs, worker } = counting((runs) => runs === 1, { retry: RetryPolicy.none })
        const { endings } = yield* start(worker)
        yield* send("in", "1", { id: "a" })
        yield* send("in", "1", { id: "a" })
        for (const replay of ["r1", "r1", "r2"]) {
          yield* send("in", "1", { id: "a", headers: { "x-paystream-replay": replay } })
        }
        assert.deepStrictEqual(endings, ["dead_lettered", "skipped", "done", "skipped", "done"])
        assert.strictEqual(inputs.length, 3)
      })
    )
  )

  onStage("handles the second of two copies that come at the same moment not at all", () =>
    withMemory(
      Effect.gen(function* () {
        const go = yield* Deferred.make<void>()
        let runs = 0
        const worker = Worker.make("w", { topic: "in", dedupe: true, concurrency: 4 }, () =>
          Effect.andThen(
            Effect.sync(() => void runs++),
            Deferred.await(go)
          )
        )
        const { endings } = yield* start(worker)
        for (const id of ["a", "a", "b"]) yield* send("in", "1", { id })
        assert.strictEqual(runs, 2)
        yield* Deferred.succeed(go, undefined)
        yield* settled
        assert.deepStrictEqual([runs, endings.toSorted()], [2, ["done", "done", "skipped"]])
      })
    )
  )

  onStage("handles a retry once that a crash between parking and acknowledging has left twice", () =>
    withMemory(
      Effect.gen(function* () {
        const { inputs, worker } = counting((runs) => runs <= 2)
        // Parked and recorded, not acknowledged; then the same again as if it had not been recorded.
        const forgetful = yield* forgettingOnce
        const { endings } = yield* Effect.provideService(start(worker), Broker, yield* unsettledOnce).pipe(
          Effect.provideService(Deduplication.Deduplication, Deduplication.make(forgetful))
        )
        yield* send("in", "1", { id: "a" })
        yield* elapse("1 hour")
        assert.deepStrictEqual(endings.toSorted(), ["done", "retried", "skipped"])
        assert.strictEqual(inputs.length, 3)
        assert.deepStrictEqual([yield* depth("in.w"), (yield* deadLetters("in")).length], [0, 0])
      })
    )
  )

  onStage("skips the second copy of a parking though the first has failed again, and waits for its retry", () =>
    withMemory(
      Effect.gen(function* () {
        const { inputs, worker } = counting((runs) => runs === 1)
        const { endings } = yield* start(worker)
        for (const _ of ["one copy", "the other"]) {
          yield* send("in", "1", { id: "a", headers: { "x-paystream-parked": 1 } })
        }
        assert.deepStrictEqual(endings, ["retried", "skipped"])
        yield* elapse("1 hour")
        assert.deepStrictEqual([endings, inputs.length], [["retried", "skipped", "done"], 2])
      })
    )
  )

  onStage("records after the output is confirmed and before the input is acknowledged", () =>
    withMemory(
      Effect.gen(function* () {
        const order: Array<string> = []
        const told = yield* broken((broker) => ({
          publishToTopics: (messages) =>
            Effect.tap(broker.publishToTopics(messages), () => Effect.sync(() => order.push("output"))),
          settle: (batch) =>
            Effect.andThen(
              Effect.sync(() => order.push("acknowledged")),
              broker.settle(batch)
            )
        }))
        const finished = yield* FinishedInputs
        const telling = FinishedInputs.of({
          ...finished,
          record: (inputs) => Effect.tap(finished.record(inputs), () => Effect.sync(() => order.push("recorded")))
        })
        const { worker } = counting()
        yield* Effect.provideService(start(worker), Broker, told).pipe(
          Effect.provideService(Deduplication.Deduplication, Deduplication.make(telling))
        )
        yield* send("in", "1", { id: "a" })
        assert.deepStrictEqual(order, ["output", "recorded", "acknowledged"])
      })
    )
  )

  onStage("waits with what it has in hand while the database is away, and asks in batches", () =>
    withMemory(
      Effect.gen(function* () {
        let isAway = true
        const batches: Array<number> = []
        const finished = yield* FinishedInputs
        const faulty = FinishedInputs.of({
          ...finished,
          prepare: Effect.void,
          find: (inputs) =>
            Effect.suspend(() => {
              batches.push(inputs.length)
              return isAway ? Effect.fail(storeAway) : Effect.delay(finished.find(inputs), "1 millis")
            })
        })
        const { inputs, worker } = counting(undefined, { concurrency: 100 })
        yield* Effect.provideService(start(worker), Deduplication.Deduplication, Deduplication.make(faulty))
        for (let n = 0; n < 100; n++) yield* send("in", `${n}`, { id: `${n}` })
        yield* elapse("1 minute")
        assert.deepStrictEqual(inputs, [])
        isAway = false
        batches.length = 0
        yield* elapse("1 minute")
        assert.strictEqual(inputs.length, 100)
        assert.isAtMost(batches.length, 100)
        assert.strictEqual(yield* depth("in.w"), 0)
      })
    )
  )

  onStage("gives back what it has in hand when it is asked to stop while the database is away", () =>
    withMemory(
      Effect.gen(function* () {
        const finished = yield* FinishedInputs
        const faulty = FinishedInputs.of({ ...finished, find: () => Effect.fail(storeAway) })
        const { inputs, worker } = counting()
        const { endings, fiber } = yield* Effect.provideService(
          start(worker),
          Deduplication.Deduplication,
          Deduplication.make(faulty)
        )
        yield* send("in", "1", { id: "a" })
        yield* stop(fiber)
        assert.deepStrictEqual([inputs, endings, yield* depth("in.w")], [[], ["returned"], 1])
      })
    )
  )

  onStage("handles inputs without an id as they come, and says so once", () =>
    withMemory(
      Effect.gen(function* () {
        const { inputs, worker } = counting()
        yield* start(worker)
        for (let n = 0; n < 3; n++) yield* send("in", "1")
        assert.strictEqual(inputs.length, 3)
        assert.strictEqual(logs.filter((line) => line.includes("without an id")).length, 1)
      })
    )
  )

  onStage("is refused by name where there is no database", () =>
    Effect.gen(function* () {
      const { worker } = counting()
      const { fiber } = yield* start(worker)
      const exit = fiber.pollUnsafe()
      assert.match(String(exit), /worker w has dedupe: true.*DATABASE/)
    })
  )
})

/** Forgets the first thing that it is told: as a crash before the record would. */
const forgettingOnce = Effect.gen(function* () {
  const finished = yield* FinishedInputs
  let told = 0
  return FinishedInputs.of({
    ...finished,
    record: (inputs) => Effect.suspend(() => (told++ === 0 ? Effect.void : finished.record(inputs)))
  })
})
