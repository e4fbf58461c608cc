import { assert, describe } from "@effect/vitest"
import { Array as Arr, Deferred, Effect, Schema } from "effect"
import { Broker, BrokerError, MessageRefused, type Settlement } from "../../src/domain/ports/Broker.ts"
import * as Worker from "../../src/streams/Worker.ts"
import {
  broken,
  deadLetters,
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

  onStage("names the versions of its outputs and of what its handler publishes", () =>
    Effect.gen(function* () {
      yield* watch("out", "beside")
      const options = { topic: "in", outputTopic: "out", version: "1", outputVersion: "2" }
      const worker = Worker.make("w", options, (input) =>
        Effect.as(Worker.publish("beside", input, { version: "3" }), input)
      )
      yield* start(worker)
      yield* send("in", "1", { headers: { version: "1", key: "k" } })
      assert.deepStrictEqual(
        (yield* seen("out")).map(({ headers }) => headers),
        [{ key: "k", version: "2" }]
      )
      assert.deepStrictEqual(
        (yield* seen("beside")).map(({ headers }) => headers),
        [{ version: "3" }]
      )
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
      const { open, worker } = yield* gated(40)
      const { endings } = yield* Effect.provideService(start(worker), Broker, counting)
      yield* sendNumbers(40)
      yield* open
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
      const { open, worker } = yield* gated(40)
      yield* Effect.provideService(start(worker), Broker, picky)
      yield* sendNumbers(40)
      yield* open
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
})
