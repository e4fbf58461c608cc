import { assert, describe, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import type { Broker } from "../../src/domain/ports/Broker.ts"
import { Outbox } from "../../src/domain/ports/Outbox.ts"
import { append, elapse, makeBroker, options, ports, startRelay, type TestBroker } from "../support/OutboxStage.ts"
import { settled } from "../support/TopicStage.ts"

const ids = ({ published }: TestBroker) => published.map(({ id }) => id)
const event = (key: string | undefined, n: number) => ({ topic: "payments.stored", key, payload: { n } })
const test = <E>(name: string, body: () => Effect.Effect<void, E, Outbox | Broker | Scope.Scope>) =>
  it.effect(name, () => Effect.provide(body(), ports))

const started = Effect.gen(function* () {
  const broker = yield* makeBroker()
  const relay = yield* startRelay("one", broker)
  yield* elapse("2 seconds")
  return { broker, relay }
})

describe("The outbox relay", () => {
  test("publishes a committed event at once, with its id, key and headers", () =>
    Effect.gen(function* () {
      const { broker, relay } = yield* started
      const [id = ""] = yield* append({ ...event("a", 1), headers: { version: 2 } })
      yield* settled
      const [found] = broker.published
      assert.strictEqual(found?.id, id)
      assert.strictEqual(found?.message.topic, "payments.stored")
      assert.deepStrictEqual(found?.message.headers, { version: 2, key: "a" })
      assert.strictEqual(new TextDecoder().decode(found?.message.body), '{"n":1}')
      yield* relay.stop
    }))

  test("looks once for what it is told of once: what it has taken leaves nothing behind", () =>
    Effect.gen(function* () {
      const outbox = yield* Outbox
      let looks = 0
      const take: typeof outbox.take = (given) =>
        Effect.suspend(() => {
          looks++
          return outbox.take(given)
        })
      const broker = yield* makeBroker()
      // Large enough that no slot's part of a batch is full with one event.
      const started = startRelay("one", broker, { batchSize: 1000 })
      const relay = yield* Effect.provideService(started, Outbox, { ...outbox, take })
      yield* elapse("2 seconds")
      const before = looks
      for (let n = 1; n <= 5; n++) yield* Effect.andThen(append(event("a", n)), settled)
      assert.deepStrictEqual([broker.published.length, looks - before], [5, 5])
      yield* relay.stop
    }))

  test("publishes a key's events one after the other, others beside them", () =>
    Effect.gen(function* () {
      const { broker, relay } = yield* started
      const own = yield* append(event("a", 1), event("a", 2), event("b", 3), event("a", 4))
      yield* settled
      const [a1, a2, b, a4] = own
      assert.sameMembers(ids(broker).slice(0, 2), [a1, b])
      assert.deepStrictEqual(ids(broker).slice(2), [a2, a4])
      yield* relay.stop
    }))

  test("counts no attempt while the broker is away, and goes on when it is back", () =>
    Effect.gen(function* () {
      const { broker, relay } = yield* started
      const outbox = yield* Outbox
      broker.become("away")
      yield* append(event("a", 1), event("b", 2))
      yield* elapse("2 minutes")
      const waiting = yield* outbox.list(options.rules, { onlyDead: false, limit: 10 })
      assert.deepStrictEqual(
        waiting.map(({ attempts, state }) => [attempts, state]),
        [
          [0, "pending"],
          [0, "pending"]
        ]
      )
      broker.become("well")
      yield* elapse("2 minutes")
      assert.strictEqual(broker.published.length, 2)
      yield* relay.stop
    }))

  test("tries a refused event again with back-off, and holds back only its own key", () =>
    Effect.gen(function* () {
      const { broker, relay } = yield* started
      const outbox = yield* Outbox
      const [a1 = "", a2, b] = yield* append(event("a", 1), event("a", 2), event("b", 3))
      broker.refusals.set(a1, 2)
      yield* settled
      assert.deepStrictEqual([...new Set(ids(broker))], [b])
      const [failing] = yield* outbox.list(options.rules, { onlyDead: false, limit: 10 })
      assert.deepStrictEqual([failing?.attempts, failing?.state], [1, "failing"])
      assert.include(failing?.lastError ?? "", "refuses it")
      yield* elapse("900 millis")
      assert.strictEqual(broker.refusals.get(a1), 1)
      yield* elapse("200 millis")
      assert.strictEqual(broker.refusals.get(a1), 0)
      yield* elapse("3 seconds")
      assert.deepStrictEqual([...new Set(ids(broker))], [b, a1, a2])
      yield* relay.stop
    }))

  test("holds back a key behind its dead event until an operator brings it back, or skips it", () =>
    Effect.gen(function* () {
      const { broker, relay } = yield* started
      const outbox = yield* Outbox
      const [a1 = "", a2] = yield* append(event("a", 1), event("a", 2))
      const [b1 = "", b2] = yield* append(event("b", 3), event("b", 4))
      for (const id of [a1, b1]) broker.refusals.set(id, 1000)
      yield* elapse("2 minutes")
      assert.deepStrictEqual(ids(broker), [])
      assert.strictEqual((yield* outbox.stats(options.rules)).dead, 2)
      broker.refusals.clear()
      yield* outbox.retry([a1], options.rules)
      yield* outbox.skip([b1], options.rules)
      yield* settled
      assert.sameMembers(ids(broker), [a1, a2, b2])
      assert.isBelow(ids(broker).indexOf(a1), ids(broker).indexOf(a2 ?? ""))
      yield* relay.stop
    }))

  test("goes on without a dead event where it is told to", () =>
    Effect.gen(function* () {
      const broker = yield* makeBroker()
      const relay = yield* startRelay("one", broker, { rules: { maxAttempts: 3, dead: "skip" } })
      const [a1 = "", a2] = yield* append(event("a", 1), event("a", 2))
      broker.refusals.set(a1, 1000)
      yield* elapse("1 minute")
      assert.deepStrictEqual(ids(broker), [a2])
      yield* relay.stop
    }))

  test("shares the slots with a relay beside it, and has all when that one is killed", () =>
    Effect.gen(function* () {
      const { broker, relay } = yield* started
      const other = yield* startRelay("other", broker)
      yield* elapse("5 seconds")
      yield* append(...Array.from({ length: 200 }, (_, n) => event(`key-${n}`, n)))
      yield* elapse("1 second")
      const by = (name: string) => broker.published.filter((one) => one.by === name).length
      assert.strictEqual(by("one") + by("other"), 200)
      assert.isAbove(by("one"), 50)
      assert.isAbove(by("other"), 50)
      yield* other.kill
      yield* append(...Array.from({ length: 200 }, (_, n) => event(`key-${n}`, n)))
      yield* elapse("8 seconds")
      assert.strictEqual(broker.published.length, 400)
      yield* relay.stop
    }))

  test("gives its share up at once when it is stopped", () =>
    Effect.gen(function* () {
      const { broker, relay } = yield* started
      yield* relay.stop
      const other = yield* startRelay("other", broker)
      yield* elapse("10 millis")
      yield* append(event("a", 1))
      yield* settled
      assert.strictEqual(broker.published.length, 1)
      yield* other.stop
    }))

  test("publishes nothing more of what it had when it froze for longer than its lease", () =>
    Effect.gen(function* () {
      const { broker, relay } = yield* started
      const [first = "", second = ""] = yield* append(event("a", 1), event("a", 2))
      const own = () => broker.published.filter(({ by }) => by === "one").map(({ id }) => id)
      for (let turn = 0; own().length === 0 && turn < 1000; turn++) yield* Effect.yieldNow
      yield* relay.freeze
      yield* elapse("6 seconds")
      const other = yield* startRelay("other", broker)
      yield* elapse("2 seconds")
      yield* relay.thaw
      yield* elapse("2 seconds")
      assert.deepStrictEqual(own(), [first])
      assert.deepStrictEqual(
        broker.published.filter(({ by }) => by === "other").map(({ id }) => id),
        [first, second]
      )
      yield* relay.stop
      yield* other.stop
    }))
})
