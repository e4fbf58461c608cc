/** Ordered workers in memory: a key waits with its message, and only that key. */
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect, Layer, Queue, Schema, Stream } from "effect"
import { Broker, type Delivery } from "../../src/domain/ports/Broker.ts"
import { WaitingMessages } from "../../src/domain/ports/WaitingMessages.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import * as MemoryBroker from "../../src/layers/memory/MemoryBroker.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import { Supervisor } from "../../src/streams/Supervisor.ts"
import { topicWorker } from "../../src/streams/TopicWorker.ts"
import * as Worker from "../../src/streams/Worker.ts"
import { bytes, message } from "../support/Messages.ts"
import { broken, deadLetters, depth, elapse, onStage, send, settled, start, stop } from "../support/TopicStage.ts"

const group = "memory in.w"

const waiting = (of = group) => WaitingMessages.use((store) => store.count(of))

/** A worker that notes what it has done, and fails as it is told. */
const noting = (
  fails: (input: string, runs: number) => boolean,
  options: Partial<Worker.WorkerOptions<string, never>> = {}
) => {
  const runs: Array<string> = []
  const done: Array<string> = []
  const worker = Worker.make("w", { topic: "in", input: Schema.String, ordered: true, ...options }, (input) =>
    Effect.suspend(() => {
      runs.push(input)
      if (fails(input, runs.filter((one) => one === input).length)) return Effect.fail("no")
      done.push(input)
      return Effect.void
    })
  )
  return { worker, runs, done }
}

const sendKeyed = (key: string, ...inputs: ReadonlyArray<string>) =>
  Effect.forEach(inputs, (input) => send("in", JSON.stringify(input), { headers: { key }, id: input }))

describe("An ordered worker", () => {
  onStage("lets a key wait with its message, and only that key", () =>
    Effect.gen(function* () {
      const { done, worker } = noting((input, runs) => input === "a1" && runs <= 2)
      const { endings } = yield* start(worker)
      yield* sendKeyed("a", "a1", "a2", "a3")
      yield* sendKeyed("b", "b1", "b2")
      assert.deepStrictEqual(done, ["b1", "b2"])
      assert.strictEqual(yield* waiting(), 3)
      yield* elapse("1 second")
      assert.deepStrictEqual(done, ["b1", "b2"])
      yield* elapse("2 seconds")
      yield* elapse("500 millis")
      assert.deepStrictEqual(done, ["b1", "b2", "a1", "a2", "a3"])
      assert.strictEqual(yield* waiting(), 0)
      yield* sendKeyed("a", "a4")
      assert.strictEqual(done.at(-1), "a4")
      assert.deepStrictEqual(
        endings.filter((ending) => ending !== "done"),
        ["retried", "retried"]
      )
    })
  )

  onStage("keeps waiting messages out of its hands and out of the broker's queue", () =>
    Effect.gen(function* () {
      const { done, worker } = noting((input) => input === "a0", {
        retry: RetryPolicy.fixed({ initialDelay: "1 hour" })
      })
      yield* start(worker)
      yield* sendKeyed("a", ...Arr.makeBy(50, (index) => `a${index}`))
      assert.strictEqual(yield* waiting(), 50)
      assert.strictEqual(yield* depth("in.w"), 0)
      yield* sendKeyed("b", "b")
      assert.deepStrictEqual(done, ["b"])
    })
  )

  onStage("frees the key of a message that is dead-lettered", () =>
    Effect.gen(function* () {
      const { done, worker } = noting((input) => input === "a1", { retry: RetryPolicy.fixed({ maxRetries: 2 }) })
      const { endings } = yield* start(worker)
      yield* sendKeyed("a", "a1", "a2")
      for (const _ of Arr.range(1, 21)) yield* elapse("500 millis")
      assert.deepStrictEqual(done, ["a2"])
      assert.deepStrictEqual(endings, ["retried", "retried", "dead_lettered", "done"])
      assert.strictEqual((yield* deadLetters("in")).length, 1)
    })
  )

  onStage("lets a key wait that was snoozed, without using up an attempt", () =>
    Effect.gen(function* () {
      const runs: Array<string> = []
      const worker = Worker.make(
        "w",
        { topic: "in", input: Schema.String, ordered: true, retry: RetryPolicy.none },
        (input) =>
          Effect.suspend(() => {
            runs.push(input)
            return runs.length <= 3 ? Worker.snooze("1 minute") : Effect.void
          })
      )
      const { endings } = yield* start(worker)
      yield* sendKeyed("a", "a1", "a2")
      for (const _ of Arr.range(1, 400)) yield* elapse("500 millis")
      assert.deepStrictEqual(runs, ["a1", "a1", "a1", "a1", "a2"])
      assert.deepStrictEqual(endings, ["snoozed", "snoozed", "snoozed", "done", "done"])
    })
  )

  onStage("leaves a key whose messages became somebody else's, and takes it up when it gets them again", () =>
    Effect.gen(function* () {
      let assignment = 1
      const { done, worker } = noting((input, runs) => {
        const isFirst = input === "a1" && runs === 1
        if (isFirst) assignment++
        return isFirst
      })
      const arriving = yield* Queue.unbounded<Delivery>()
      const taken = yield* broken(() => ({
        deliveries: () => Stream.fromQueue(arriving),
        settle: () => Effect.void
      }))
      const give = (...inputs: ReadonlyArray<string>) => {
        const own = assignment
        return Queue.offerAll(
          arriving,
          inputs.map((input) => ({
            ...message("", { id: input, body: bytes(JSON.stringify(input)), headers: { key: "a" } }),
            attempt: 1,
            receipt: undefined,
            isRevoked: () => assignment !== own
          }))
        )
      }
      yield* Effect.gen(function* () {
        yield* start(worker)
        yield* give("a1", "a2", "a3")
        yield* settled
        assert.deepStrictEqual([...done], [])
        assert.strictEqual(yield* waiting(), 0)
        yield* give("a1", "a2", "a3")
        yield* settled
        assert.deepStrictEqual(done, ["a1", "a2", "a3"])
      }).pipe(Effect.provideService(Broker, taken))
    })
  )

  onStage("hands what waits to whoever comes next after a stop, at once", () =>
    Effect.gen(function* () {
      const first = noting((input) => input === "a1", { retry: RetryPolicy.fixed({ initialDelay: "1 second" }) })
      const { fiber } = yield* start(first.worker)
      yield* sendKeyed("a", "a1", "a2")
      yield* stop(fiber)
      assert.strictEqual(yield* waiting(), 2)
      const next = noting(() => false)
      yield* Effect.gen(function* () {
        yield* start(next.worker)
        yield* elapse("1 second")
        yield* elapse("500 millis")
      }).pipe(Effect.provide(Layer.fresh(Shutdown.layer)))
      assert.deepStrictEqual(next.done, ["a1", "a2"])
    })
  )

  it.effect("is refused by name where there is nothing to keep waiting messages in", () =>
    Effect.gen(function* () {
      const { worker } = noting(() => false)
      const error = yield* Effect.flip(Stream.runDrain(topicWorker(worker)))
      assert.include(String(error), "worker w has ordered: true")
      assert.isFalse(error.isRetryable)
    }).pipe(Effect.provide(Layer.mergeAll(Shutdown.layer, Supervisor.layer, MemoryBroker.layer)))
  )

  onStage("gives messages without a key no order, and loses none", () =>
    Effect.gen(function* () {
      const { done, worker } = noting((input, runs) => input === "one" && runs === 1)
      yield* start(worker)
      for (const input of ["one", "two"]) yield* send("in", JSON.stringify(input))
      assert.deepStrictEqual(done, ["two"])
      yield* elapse("1 second")
      assert.deepStrictEqual(done, ["two", "one"])
    })
  )
})
