import { assert, describe } from "@effect/vitest"
import { Array as Arr, Deferred, Effect, Fiber, Schema } from "effect"
import { Broker, BrokerAway, BrokerError, MessageRefused, type Settlement } from "../../src/domain/ports/Broker.ts"
import * as MemoryBroker from "../../src/layers/memory/MemoryBroker.ts"
import * as Worker from "../../src/streams/Worker.ts"
import {
  broken,
  deadLetters,
  depth,
  elapse,
  json,
  onStage,
  seen,
  send,
  settled,
  start,
  stop,
  watch
} from "../support/TopicStage.ts"

describe("A topic worker", () => {
  onStage("publishes the output under the input's key, with an id that follows from worker, input and position", () =>
    Effect.gen(function* () {
      yield* watch("out")
      const double = Worker.make("double", { topic: "in", outputTopic: "out" }, ({ n }) =>
        Effect.succeed({ n: Number(n) * 2 })
      )
      const { endings } = yield* start(double)
      yield* send("in", '{"n":1}', { id: "i", headers: { key: "k", trace: "t" } })
      yield* send("in", '{"n":2}')
      const outputs = yield* seen("out")
      assert.deepStrictEqual(
        outputs.map((one) => [one.id, json(one), one.headers, one.contentType, one.publishedAtMillis]),
        [
          ["i/double.0", { n: 2 }, { key: "k" }, "application/json", 0],
          [undefined, { n: 4 }, {}, "application/json", 0]
        ]
      )
      assert.deepStrictEqual(endings, ["done", "done"])
    })
  )

  onStage("gives the same input the same output id again", () =>
    Effect.gen(function* () {
      yield* watch("out")
      yield* start(Worker.make("w", { topic: "in", outputTopic: "out" }, () => Effect.succeed(1)))
      yield* send("in", "1", { id: "same" })
      yield* send("in", "1", { id: "same" })
      assert.deepStrictEqual(
        (yield* seen("out")).map(({ id }) => id),
        ["same/w.0", "same/w.0"]
      )
    })
  )

  onStage("handles others while outputs are confirmed, unless it takes one at a time or has a hook for success", () =>
    Effect.gen(function* () {
      const stuck = yield* broken(() => ({ publishToTopics: () => Effect.never }))
      const handledOf = Effect.fnUntraced(function* (concurrency: number, onSuccess?: () => Effect.Effect<void>) {
        let handled = 0
        const process = () =>
          Effect.sync(() => {
            handled++
            return 1
          })
        const topic = `in${concurrency}${onSuccess ? "hook" : ""}`
        const options = { topic, outputTopic: "out", concurrency }
        const worker = Worker.make(topic, options, Effect.succeed({ process, onSuccess }))
        yield* Effect.provideService(start(worker), Broker, stuck)
        yield* Effect.forEach(Arr.range(1, 5), (n) => send(topic, String(n)), { discard: true })
        yield* settled
        return handled
      })
      assert.strictEqual(yield* handledOf(2), 5)
      assert.strictEqual(yield* handledOf(1), 1)
      assert.strictEqual(yield* handledOf(2, () => Effect.void), 2)
    })
  )

  onStage("settles an input only when its output is confirmed", () =>
    Effect.gen(function* () {
      const confirm = yield* Deferred.make<void>()
      const settlements: Array<Settlement> = []
      const slow = yield* broken((broker) => ({
        publishToTopics: (messages) => Effect.andThen(Deferred.await(confirm), broker.publishToTopics(messages)),
        settle: (batch) =>
          Effect.andThen(
            Effect.sync(() => settlements.push(...batch)),
            broker.settle(batch)
          )
      }))
      const worker = Worker.make("w", { topic: "in", outputTopic: "out" }, () => Effect.succeed(1))
      yield* Effect.provideService(start(worker), Broker, slow)
      yield* send("in", "1")
      assert.strictEqual(settlements.length, 0)
      yield* Deferred.succeed(confirm, undefined)
      yield* settled
      assert.deepStrictEqual(
        settlements.map(({ outcome }) => outcome),
        ["done"]
      )
    })
  )

  onStage("has the outputs of many confirmed together, and their inputs settled together", () =>
    Effect.gen(function* () {
      yield* watch("out")
      const calls = { publish: 0, settle: 0 }
      const counting = yield* broken((broker) => ({
        publishToTopics: (messages) =>
          Effect.andThen(
            Effect.sync(() => calls.publish++),
            broker.publishToTopics(messages)
          ),
        settle: (batch) =>
          Effect.andThen(
            Effect.sync(() => calls.settle++),
            broker.settle(batch)
          )
      }))
      const gate = yield* Deferred.make<void>()
      const worker = Worker.make("w", { topic: "in", outputTopic: "out", concurrency: 40 }, (input) =>
        Effect.as(Deferred.await(gate), input)
      )
      const { endings } = yield* Effect.provideService(start(worker), Broker, counting)
      for (const body of Arr.makeBy(40, String)) yield* send("in", body)
      yield* Deferred.succeed(gate, undefined)
      yield* settled
      assert.deepStrictEqual([endings.length, yield* depth("out.watch"), yield* depth("in.w")], [40, 40, 0])
      assert.isBelow(calls.publish, 5)
      assert.isBelow(calls.settle, 5)
    })
  )

  onStage("sets aside the one output that the broker takes from nobody, and not its neighbours'", () =>
    Effect.gen(function* () {
      yield* watch("out")
      const picky = yield* broken((broker) => ({
        publishToTopics: (messages) =>
          messages.some(({ body, topic }) => topic === "out" && new TextDecoder().decode(body) === "13")
            ? Effect.fail(new BrokerError({ reason: new MessageRefused({ detail: "unlucky" }) }))
            : broker.publishToTopics(messages)
      }))
      const gate = yield* Deferred.make<void>()
      const worker = Worker.make("w", { topic: "in", outputTopic: "out", concurrency: 40 }, (input) =>
        Effect.as(Deferred.await(gate), input)
      )
      yield* Effect.provideService(start(worker), Broker, picky)
      for (const body of Arr.makeBy(40, String)) yield* send("in", body)
      yield* Deferred.succeed(gate, undefined)
      yield* settled
      const letters = yield* deadLetters("in")
      assert.deepStrictEqual(
        letters.map((one) => (json(one) as { original: unknown }).original),
        [13]
      )
      assert.deepStrictEqual([yield* depth("out.watch"), yield* depth("in.w")], [39, 0])
    })
  )

  for (const [name, value] of [
    ["undefined", undefined],
    ["null", null]
  ] as const) {
    onStage(`publishes nothing for ${name}, and does not try again`, () =>
      Effect.gen(function* () {
        yield* watch("out")
        let runs = 0
        const worker = Worker.make("w", { topic: "in", outputTopic: "out", output: Schema.Finite }, () =>
          Effect.sync(() => {
            runs++
            return value
          })
        )
        const { endings } = yield* start(worker)
        yield* send("in", "1")
        yield* elapse("1 hour")
        assert.deepStrictEqual([runs, endings], [1, ["done"]])
        assert.deepStrictEqual([yield* depth("out.watch"), yield* depth("in.w"), yield* depth("in.dlq")], [0, 0, 0])
      })
    )
  }

  onStage(
    "hands over what the input schema makes of the message, and publishes what the output schema makes of the result",
    () =>
      Effect.gen(function* () {
        yield* watch("out")
        const inputs: Array<number> = []
        const schema = Schema.FiniteFromString
        const worker = Worker.make("w", { topic: "in", outputTopic: "out", input: schema, output: schema }, (input) =>
          Effect.sync(() => inputs.push(input) + 41)
        )
        yield* start(worker)
        yield* send("in", '"41"')
        assert.deepStrictEqual([inputs, (yield* seen("out")).map(json)], [[41], ["42"]])
      })
  )

  onStage("takes its services and shared state once, even when the broker is away for a while", () =>
    Effect.gen(function* () {
      let made = 0
      let asked = 0
      const faulty = yield* broken((broker) => ({
        settle: (batch) =>
          Effect.suspend(() =>
            asked++ === 0
              ? Effect.fail(new BrokerError({ reason: new BrokerAway({ detail: "away" }) }))
              : broker.settle(batch)
          )
      }))
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
      yield* Effect.provideService(start(worker), Broker, faulty)
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
      const gate = yield* Deferred.make<void>()
      let begun = 0
      const worker = Worker.make("w", { topic: "in", outputTopic: "out", concurrency: 2 }, (input) =>
        Effect.as(
          Effect.andThen(
            Effect.sync(() => begun++),
            Deferred.await(gate)
          ),
          input
        )
      )
      const { fiber } = yield* start(worker)
      for (const body of Arr.makeBy(40, String)) yield* send("in", body)
      const stopping = yield* Effect.forkScoped(stop(fiber), { startImmediately: true })
      yield* settled
      assert.isUndefined(stopping.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(stopping)
      assert.deepStrictEqual([begun, yield* depth("out.watch"), yield* depth("in.w")], [2, 2, 38])
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
