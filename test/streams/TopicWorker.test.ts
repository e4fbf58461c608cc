import { assert, describe } from "@effect/vitest"
import { Array as Arr, Deferred, Effect, Fiber, Schema } from "effect"
import { Broker } from "../../src/domain/ports/Broker.ts"
import * as MemoryBroker from "../../src/layers/memory/MemoryBroker.ts"
import * as Worker from "../../src/streams/Worker.ts"
import {
  depth,
  elapse,
  gated,
  json,
  onStage,
  seen,
  send,
  sendNumbers,
  settled,
  start,
  stop,
  unsettledOnce,
  watch
} from "../support/TopicStage.ts"

describe("A topic worker", () => {
  onStage("takes its services and shared state once, even when the broker is away for a while", () =>
    Effect.gen(function* () {
      let made = 0
      const counts: Array<number> = []
      const worker = Worker.make(
        "w",
        { topic: "in" },
        Effect.sync(() => {
          made++
          let count = 0
          return { process: () => Effect.sync(() => void counts.push(++count)) }
        })
      )
      yield* Effect.provideService(start(worker), Broker, yield* unsettledOnce)
      yield* send("in", "1")
      yield* elapse("1 minute")
      assert.deepStrictEqual([made, counts, yield* depth("in.w")], [1, [1, 2], 0])
    })
  )

  onStage("sends the values of a handler's publish to any topic, with ids that a repeat has too", () =>
    Effect.gen(function* () {
      yield* watch("a", "b", "out")
      let runs = 0
      const worker = Worker.make("w", { topic: "in", outputTopic: "out" }, () =>
        Effect.gen(function* () {
          yield* Worker.publish("a", 1, { key: "x" })
          if (runs++ === 0) return yield* Effect.fail("half way")
          yield* Worker.publish("b", { two: 2 })
          yield* Worker.publish("b", 3, { id: "mine" })
          return "done"
        })
      )
      yield* start(worker)
      yield* send("in", "1", { id: "i" })
      yield* elapse("1 second")
      const of = (topic: string) =>
        Effect.map(
          seen(topic),
          Arr.map((one) => [one.id, json(one), one.headers])
        )
      assert.deepStrictEqual(yield* of("a"), [
        ["i/w.0", 1, { key: "x" }],
        ["i/w.0", 1, { key: "x" }]
      ])
      assert.deepStrictEqual(yield* of("b"), [
        ["i/w.1", { two: 2 }, {}],
        ["mine", 3, {}]
      ])
      assert.deepStrictEqual(yield* of("out"), [["i/w.2", "done", {}]])
    })
  )

  onStage("can be fed from outside of any handler", () =>
    Effect.gen(function* () {
      const inputs: Array<unknown> = []
      yield* start(Worker.make("w", { topic: "in" }, (input) => Effect.sync(() => void inputs.push(input))))
      yield* Worker.publish("in", { n: 1 })
      yield* settled
      assert.deepStrictEqual(inputs, [{ n: 1 }])
    })
  )

  onStage("gives every group each message once, whose workers share them", () =>
    Effect.gen(function* () {
      const seenBy: Record<string, Array<unknown>> = { a: [], b: [] }
      const worker = (name: string, groupId: string) =>
        Worker.make(name, { topic: "in", groupId }, (input) => Effect.sync(() => void seenBy[groupId]?.push(input)))
      yield* start(worker("w1", "a"))
      yield* start(worker("w2", "a"))
      yield* start(worker("w3", "b"))
      for (const body of ["1", "2", "3", "4"]) yield* send("in", body)
      assert.deepStrictEqual(seenBy, { a: [1, 2, 3, 4], b: [1, 2, 3, 4] })
    })
  )

  onStage("retries in the group that failed alone", () =>
    Effect.gen(function* () {
      let others = 0
      let own = 0
      yield* start(Worker.make("good", { topic: "in" }, () => Effect.sync(() => void others++)))
      yield* start(
        Worker.make("bad", { topic: "in" }, () => Effect.suspend(() => (own++ < 2 ? Effect.fail("no") : Effect.void)))
      )
      yield* send("in", "1")
      yield* elapse("1 hour")
      assert.deepStrictEqual([others, own], [1, 3])
    })
  )

  onStage("handles a key in order, other keys side by side up to its concurrency", () =>
    Effect.gen(function* () {
      const begun: Array<string> = []
      const slow = yield* Deferred.make<void>()
      const worker = Worker.make("w", { topic: "in", concurrency: 2, input: Schema.String }, (input) => {
        begun.push(input)
        return input === "a1" ? Deferred.await(slow) : Effect.void
      })
      yield* start(worker)
      for (const input of ["a1", "a2", "b1", "b2", "c1"]) {
        yield* send("in", JSON.stringify(input), { headers: { key: input[0] } })
      }
      assert.deepStrictEqual(begun, ["a1", "b1", "b2", "c1"])
      yield* Deferred.succeed(slow, undefined)
      yield* settled
      assert.deepStrictEqual(begun, ["a1", "b1", "b2", "c1", "a2"])
    })
  )
})

describe("A topic worker that is asked to stop", () => {
  onStage("ends at once when it waits for messages", () =>
    Effect.gen(function* () {
      const { fiber } = yield* start(Worker.make("w", { topic: "in" }, () => Effect.void))
      yield* stop(fiber)
    })
  )

  onStage("finishes what its handlers have begun, and gives back what waits", () =>
    Effect.gen(function* () {
      yield* watch("out")
      const { begun, open, worker } = yield* gated(2)
      const { fiber } = yield* start(worker)
      yield* sendNumbers(40)
      const stopping = yield* Effect.forkScoped(stop(fiber), { startImmediately: true })
      yield* settled
      assert.isUndefined(stopping.pollUnsafe())
      yield* open
      yield* Fiber.join(stopping)
      assert.deepStrictEqual([begun(), yield* depth("out.watch"), yield* depth("in.w")], [2, 2, 38])
    })
  )

  onStage("leaves unharmed what it was handling when it is interrupted instead", () =>
    Effect.gen(function* () {
      const { fiber } = yield* start(Worker.make("w", { topic: "in" }, () => Effect.never))
      yield* send("in", "1")
      yield* Fiber.interrupt(fiber)
      yield* elapse("1 hour")
      assert.deepStrictEqual([yield* depth("in.w"), yield* depth("in.dlq")], [1, 0])
    })
  )
})

describe("The broker in memory", () => {
  onStage("keeps what is published to a topic that nobody subscribes to", () =>
    Effect.gen(function* () {
      yield* send("nobody", "1", { id: "i" })
      assert.strictEqual(yield* depth(MemoryBroker.unroutedQueue), 1)
    })
  )
})
