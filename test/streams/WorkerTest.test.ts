/** `Worker.test` and `Worker.testFlow`: what an author sees of a worker without a broker. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Layer, Schema } from "effect"
import { RetryPolicy, Worker } from "paystream"

class Prices extends Context.Service<
  Prices,
  { readonly of: (item: string) => Effect.Effect<number, "unknown item"> }
>()("test/Prices") {}

const Item = Schema.Struct({ item: Schema.String })
const Priced = Schema.Struct({ item: Schema.String, cents: Schema.Int })

const pricing = Worker.make(
  "pricing",
  { topic: "items", outputTopic: "priced", input: Item, output: Priced },
  ({ item }) =>
    Effect.gen(function* () {
      const cents = yield* Prices.use((prices) => prices.of(item))
      yield* Worker.publish("looked-up", item, { key: "k" })
      return { item, cents }
    })
)

const prices = (of: Prices["Service"]["of"]) => Layer.succeed(Prices, Prices.of({ of }))

describe("Worker.test", () => {
  it("gives what a handler publishes, with ids and keys, and says that it is done", async () => {
    const tested = await Effect.runPromise(
      Worker.test(pricing, { item: "tea" }, { id: "i", key: "t" }).pipe(
        Effect.provide(prices(() => Effect.succeed(250)))
      )
    )
    assert.deepStrictEqual(tested, {
      ending: "done",
      attempts: [{ ending: "done", delay: undefined }],
      published: [
        { topic: "looked-up", key: "k", id: "i/pricing.0", value: "tea", text: '"tea"', headers: { key: "k" } },
        {
          topic: "priced",
          key: "t",
          id: "i/pricing.1",
          value: { item: "tea", cents: 250 },
          text: '{"item":"tea","cents":250}',
          headers: { key: "t" }
        }
      ],
      deadLetter: undefined
    })
  })

  it.effect("goes through the retries at once, and gives the dead letter to the letter", () =>
    Effect.gen(function* () {
      const tested = yield* Worker.test(pricing, { item: "?" }).pipe(
        Effect.provide(prices(() => Effect.fail("unknown item")))
      )
      assert.deepStrictEqual(
        tested.attempts.map(({ delay, ending }) => [ending, delay && Duration.toSeconds(delay)]),
        [
          ["retried", 1],
          ["retried", 2],
          ["retried", 4],
          ["dead_lettered", undefined]
        ]
      )
      assert.deepStrictEqual(tested.published, [])
      assert.strictEqual(tested.ending, "dead_lettered")
      assert.strictEqual(tested.deadLetter?.topic, "items.dlq")
      assert.strictEqual(tested.deadLetter?.reason, "retries_exhausted")
      assert.strictEqual(
        tested.deadLetter?.text,
        '{"original":{"item":"?"},"error":"unknown item","worker":"pricing","retries":3}'
      )
    })
  )

  it.effect("looks after as many attempts as it is told, for a worker that would snooze for ever", () =>
    Effect.gen(function* () {
      const patient = Worker.make("patient", { topic: "in" }, () => Worker.snooze("1 hour"))
      const { attempts, ending } = yield* Worker.test(patient, {}, { attempts: 3 })
      assert.strictEqual(ending, "snoozed")
      assert.deepStrictEqual(
        attempts,
        Array.from({ length: 3 }, () => ({ ending: "snoozed" as const, delay: Duration.hours(1) }))
      )
      const forEver = yield* Effect.exit(Worker.test(patient, {}))
      assert.match(String(forEver), /do not settle/)
    })
  )

  it.effect("takes bytes that are no JSON, and shows how they are set aside", () =>
    Effect.gen(function* () {
      const { deadLetter } = yield* Worker.test(pricing, new TextEncoder().encode("{"), {
        headers: { trace: "t" }
      }).pipe(Effect.provide(prices(() => Effect.succeed(1))))
      assert.strictEqual(deadLetter?.reason, "invalid_input")
      assert.strictEqual(deadLetter?.headers["trace"], "t")
      assert.deepStrictEqual(deadLetter?.value, {
        original: "{",
        error: "the body is not JSON",
        worker: "pricing",
        retries: 0
      })
    })
  )

  it.effect("wakes a handler that sleeps, and waits for one that is busy outside", () =>
    Effect.gen(function* () {
      const slow = Worker.make("slow", { topic: "in", outputTopic: "out" }, () =>
        Effect.gen(function* () {
          yield* Effect.sleep("3 days")
          yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 30)))
          return yield* Clock.currentTimeMillis
        })
      )
      const { published } = yield* Worker.test(slow, {})
      assert.deepStrictEqual(
        published.map(({ value }) => value),
        [Duration.toMillis("3 days")]
      )
    })
  )

  it.effect("ends with the stack of what stops the worker from starting", () =>
    Effect.gen(function* () {
      const broken = Worker.make("broken", { topic: "in" }, Effect.die(new Error("no licence")))
      assert.match(String(yield* Effect.exit(Worker.test(broken, {}))), /no licence/)
    })
  )
})

describe("Worker.testFlow", () => {
  const first = Worker.make("first", { topic: "a", outputTopic: "b" }, ({ n }) => Effect.succeed({ n: Number(n) + 1 }))
  const second = (failures: number) => {
    let failed = 0
    return Worker.make(
      "second",
      { topic: "b", outputTopic: "c", retry: RetryPolicy.fixed({ maxRetries: 2, initialDelay: "1 hour" }) },
      ({ n }) => (failed++ < failures ? Effect.fail("not yet") : Effect.succeed({ n: Number(n) * 10 }))
    )
  }

  it("lets a flow settle through retries, and shows every topic", async () => {
    const seen = await Effect.runPromise(
      Worker.testFlow([first, second(2)], (topics) =>
        Effect.gen(function* () {
          yield* topics.publish("a", { n: 1 }, { key: "k", id: "i" })
          yield* topics.settle
          assert.strictEqual(yield* Clock.currentTimeMillis, Duration.toMillis("2 hours"))
          return {
            b: yield* topics.published("b"),
            c: yield* topics.published("c"),
            dlq: yield* topics.published("b.dlq")
          }
        })
      )
    )
    assert.deepStrictEqual(
      [...seen.b, ...seen.c, ...seen.dlq].map(({ id, key, value }) => [id, key, value]),
      [
        ["i/first.0", "k", { n: 2 }],
        ["i/first.0/second.0", "k", { n: 20 }]
      ]
    )
  })

  it.effect("takes what is published by Worker.publish, and settles again and again", () =>
    Worker.testFlow([first, second(9)], (topics) =>
      Effect.gen(function* () {
        yield* Worker.publish("a", { n: 1 })
        yield* topics.settle
        assert.strictEqual((yield* topics.published("b.dlq")).length, 1)
        yield* Worker.publish("a", { n: 2 })
        yield* topics.settle
        assert.deepStrictEqual(
          (yield* topics.published("b.dlq")).map(({ value }) => value),
          [2, 3].map((n) => ({ original: { n }, error: "not yet", worker: "second", retries: 2 }))
        )
      })
    )
  )

  it.effect("settles at once where nothing is on its way", () =>
    Worker.testFlow([], (topics) => Effect.andThen(topics.publish("nobody", 1), topics.settle))
  )

  it.effect("says so when a flow goes round in circles", () =>
    Effect.gen(function* () {
      const circle = Worker.make("circle", { topic: "a", outputTopic: "a" }, () => Effect.succeed({}))
      const exit = yield* Effect.exit(
        Worker.testFlow([circle], (topics) => Effect.andThen(topics.publish("a", {}), topics.settle))
      )
      assert.match(String(exit), /do not settle/)
    })
  )
})
