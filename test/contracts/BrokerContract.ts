/** What every broker promises, as tests: run with any layer of the port. */
import { randomUUID } from "node:crypto"
import { assert, layer as withLayer } from "@effect/vitest"
import { Array as Arr, Effect, Fiber, type Layer, Order, Schema, Stream } from "effect"
import { Broker, BrokerError, type Delivery, type Outcome } from "../../src/domain/ports/Broker.ts"
import { message, take, takeAll, text, withDeliveries } from "../support/Messages.ts"
import {
  consumeInto,
  contentOf,
  deadline,
  depthIs,
  newQueue,
  numbers,
  publish,
  received,
  roundTrip,
  settle,
  sorted,
  textsOf
} from "../support/QueueSteps.ts"
import { eventually } from "../support/servers/eventually.ts"

/** What a broker says of itself where the port leaves a choice. */
export interface BrokerProperties {
  /** Whether each delivery of a message is counted, or only the first is told from the later ones. */
  readonly countsEveryAttempt: boolean
  /** Whether messages published together are delivered in the order in which they stand. */
  readonly keepsOrder: boolean
  /** How exactly the publisher's time is kept. */
  readonly timestampUnitMillis: number
}

/** Runs the whole contract. */
export const suite = (name: string, layer: Layer.Layer<Broker, unknown>, properties: BrokerProperties): void =>
  withLayer(layer, { excludeTestServices: true, timeout: "60 seconds" })(`Broker (${name})`, (it) => {
    it.effect("says what it is, without credentials", () =>
      Effect.gen(function* () {
        const broker = yield* Broker
        yield* newQueue
        assert.notStrictEqual(broker.kind, "")
        assert.notInclude(broker.address, "@")
        assert.strictEqual(yield* broker.status, "connected")
      })
    )

    const inOrder = <A>(deliveries: ReadonlyArray<A>, order: Order.Order<A>): ReadonlyArray<A> =>
      properties.keepsOrder ? deliveries : Arr.sort(deliveries, order)

    it.effect.prop(
      "delivers bodies byte for byte, in the order of their publishing where it keeps one",
      { bodies: Schema.Array(Schema.Uint8Array).check(Schema.isMinLength(1), Schema.isMaxLength(20)) },
      ({ bodies }) =>
        Effect.gen(function* () {
          const taken = yield* roundTrip(bodies.map((body) => message("", { body })))
          const hex = (all: ReadonlyArray<{ readonly body: Uint8Array }>) =>
            inOrder(
              all.map(({ body }) => Buffer.from(body).toString("hex")),
              Order.String
            )
          assert.deepStrictEqual(hex(taken), hex(bodies.map((body) => ({ body }))))
        }),
      { arbitrary: { runs: 15, size: 300 } }
    )

    it.effect("delivers every byte there is, nothing at all, and a megabyte", () =>
      Effect.gen(function* () {
        const bodies = [Uint8Array.from(Arr.range(0, 255)), new Uint8Array(0), new Uint8Array(2 ** 20).fill(255)]
        const taken = yield* roundTrip(bodies.map((body) => message("", { body })))
        for (const body of bodies) assert.isTrue(taken.some((one) => Buffer.compare(body, one.body) === 0))
      })
    )

    it.effect("keeps id, headers, content type and the publisher's time", () =>
      Effect.gen(function* () {
        const sent = message("", {
          id: "id ✓ 1",
          headers: {
            text: "text ✓",
            whole: 7,
            broken: 1.5,
            yes: true,
            list: ["a", 1],
            table: { inner: "b" },
            nothing: null
          },
          contentType: "application/json",
          publishedAtMillis: 1_700_000_000_123
        })
        const [taken] = yield* roundTrip([sent])
        const { queue: _, ...content } = sent
        const kept = Math.floor(1_700_000_000_123 / properties.timestampUnitMillis) * properties.timestampUnitMillis
        assert.deepStrictEqual(taken && contentOf(taken), { ...content, body: [123, 125], publishedAtMillis: kept })
      })
    )

    it.effect("gives no id, no content type and no time where the publisher gave none, or an empty id", () =>
      Effect.gen(function* () {
        for (const delivery of yield* roundTrip([message(""), message("", { id: "" })])) {
          assert.deepStrictEqual(
            [delivery.id, delivery.contentType, delivery.publishedAtMillis],
            [undefined, undefined, undefined]
          )
        }
      })
    )

    it.effect("delivers to a consumer that was there before the message", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const queue = yield* newQueue
          const taken = yield* Effect.forkScoped(withDeliveries(queue, 1, Effect.succeed))
          yield* publish(queue, ["late"])
          assert.deepStrictEqual(textsOf(yield* Fiber.join(taken)), ["late"])
        })
      )
    )

    it.effect("delivers 10,000 messages, each once", () =>
      Effect.gen(function* () {
        const queue = yield* newQueue
        yield* publish(queue, numbers(10_000))
        yield* depthIs(queue, 10_000)
        const broker = yield* Broker
        const taken = yield* broker.deliveries({ _tag: "Queue", name: queue }, { prefetch: 1000 }).pipe(
          Stream.chunks,
          Stream.tap((batch) => settle(batch)),
          Stream.flattenIterable,
          Stream.take(10_000),
          Stream.runCollect
        )
        assert.deepStrictEqual(
          inOrder(textsOf(taken).map(Number), Order.Number),
          Arr.makeBy(10_000, (index) => index)
        )
        assert.isTrue(taken.every(({ attempt }) => attempt === 1))
        yield* depthIs(queue, 0)
      })
    )

    it.effect("never has more in hand than the prefetch, and goes on as they are settled", () =>
      Effect.gen(function* () {
        const queue = yield* newQueue
        yield* publish(queue, numbers(200))
        const broker = yield* Broker
        const unsettled: Array<Delivery> = []
        let most = 0
        yield* broker.deliveries({ _tag: "Queue", name: queue }, { prefetch: 7 }).pipe(
          Stream.take(200),
          Stream.runForEachArray((batch) => {
            unsettled.push(...batch)
            most = Math.max(most, unsettled.length)
            return settle(unsettled.splice(0, unsettled.length === 7 ? 3 : 1))
          })
        )
        assert.isAtMost(most, 7)
      })
    )

    it.effect("shares a queue among consumers without overlap", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const queue = yield* newQueue
          const hands: ReadonlyArray<Array<Delivery>> = [[], [], []]
          yield* Effect.forEach(hands, (hand) => consumeInto(queue, 10, hand))
          yield* publish(queue, numbers(35))
          yield* Effect.forEach(hands, (hand) => received(hand, 10))
          yield* depthIs(queue, 5)
          yield* settle(hands[1] ?? [])
          yield* eventually(
            Effect.sync(() => assert.strictEqual(hands.flat().length, 35)),
            deadline
          )
          assert.deepStrictEqual(sorted(textsOf(hands.flat())), sorted(numbers(35)))
        })
      )
    )

    it.effect("gives back what is unsettled when the scope closes, and counts the attempts", () =>
      Effect.gen(function* () {
        const queue = yield* newQueue
        yield* publish(queue, numbers(3))
        for (const attempt of [1, 2, 3]) {
          const seen = yield* withDeliveries(queue, 3, Effect.succeed)
          const expected = properties.countsEveryAttempt ? attempt : Math.min(attempt, 2)
          assert.deepStrictEqual(
            seen.map((one) => one.attempt),
            [expected, expected, expected]
          )
          assert.deepStrictEqual(sorted(textsOf(seen)), numbers(3))
        }
        yield* depthIs(queue, 3)
      })
    )

    it.effect("keeps what was settled out of order, and gives back exactly the rest", () =>
      Effect.gen(function* () {
        const queue = yield* newQueue
        yield* publish(queue, numbers(10))
        yield* withDeliveries(queue, 10, (all) => {
          const pick = (...wanted: ReadonlyArray<number>) =>
            settle(all.filter(({ body }) => wanted.includes(Number(text(body)))))
          return pick(9, 5).pipe(Effect.andThen(pick(0, 2)), Effect.andThen(pick(1)), Effect.andThen(pick(7)))
        })
        assert.deepStrictEqual(sorted(textsOf(yield* take(queue, 4))), ["3", "4", "6", "8"])
        yield* depthIs(queue, 0)
      })
    )

    it.effect("returns to the queue, refuses for good and keeps as done, all in one settlement", () =>
      Effect.gen(function* () {
        const queue = yield* newQueue
        yield* publish(queue, ["done", "return", "reject", "done", "return"])
        const broker = yield* Broker
        const again = yield* withDeliveries(queue, 5, (all) =>
          broker.settle(all.map((delivery) => ({ delivery, outcome: text(delivery.body) as Outcome })))
        ).pipe(Effect.andThen(take(queue, 2)))
        assert.deepStrictEqual(textsOf(again), ["return", "return"])
        assert.isTrue(again.every(({ attempt }) => attempt > 1))
        yield* depthIs(queue, 0)
      })
    )

    it.effect("delivers a returned message again to the consumer that returned it", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const queue = yield* newQueue
          const hand: Array<Delivery> = []
          yield* consumeInto(queue, 1, hand)
          yield* publish(queue, ["once more"])
          yield* received(hand, 1)
          yield* settle(hand, "return")
          yield* received(hand, 2)
          assert.deepStrictEqual(
            hand.map(({ attempt }) => attempt),
            [1, 2]
          )
        })
      )
    )

    it.effect("leaves alone what is settled after its consumer is gone: it comes again", () =>
      Effect.gen(function* () {
        const queue = yield* newQueue
        yield* publish(queue, numbers(2))
        const late = yield* withDeliveries(queue, 2, Effect.succeed)
        for (const outcome of ["done", "reject", "return"] as const) yield* settle(late, outcome)
        assert.deepStrictEqual(sorted(textsOf(yield* take(queue, 2))), numbers(2))
        yield* depthIs(queue, 0)
      })
    )

    it.effect("tells how many wait, without those in somebody's hands", () =>
      Effect.gen(function* () {
        const queue = yield* newQueue
        yield* depthIs(queue, 0)
        yield* publish(queue, numbers(5))
        yield* depthIs(queue, 5)
        yield* withDeliveries(queue, 2, () => depthIs(queue, 3))
        yield* depthIs(queue, 5)
      })
    )

    it.effect("makes a queue once, however often it is asked and by how many, and keeps what is in it", () =>
      Effect.gen(function* () {
        const broker = yield* Broker
        const queue = yield* newQueue
        yield* publish(queue, ["kept"])
        yield* Effect.forEach(Arr.range(1, 5), () => broker.ensureQueue(queue), { concurrency: "unbounded" })
        assert.deepStrictEqual(textsOf(yield* takeAll(queue)), ["kept"])
      })
    )

    it.effect("refuses to publish where no queue is, and says so by its type", () =>
      Effect.gen(function* () {
        const broker = yield* Broker
        const error = yield* Effect.flip(broker.publish([message(`missing-${randomUUID()}`)]))
        assert.instanceOf(error, BrokerError)
        assert.strictEqual(error.reason._tag, "Unroutable")
        assert.isTrue(error.isRetryable)
        const queue = yield* newQueue
        yield* publish(queue, ["next"])
        assert.deepStrictEqual(textsOf(yield* take(queue, 1)), ["next"])
      })
    )

    it.effect("fails for one missing queue among others, wherever it stands in the batch", () =>
      Effect.gen(function* () {
        const broker = yield* Broker
        const queue = yield* newQueue
        const batch = (place: number) =>
          Arr.makeBy(5, (index) => message(index === place ? `missing-${randomUUID()}` : queue))
        for (const place of [0, 2, 4]) {
          const error = yield* Effect.flip(broker.publish(batch(place)))
          assert.strictEqual(error.reason._tag, "Unroutable")
        }
      })
    )

    it.effect("publishes nothing when there is nothing to publish", () =>
      Effect.flatMap(Broker, (broker) => broker.publish([]))
    )

    it.effect("fails, worth trying again, when the queue to consume or to look at is missing", () =>
      Effect.gen(function* () {
        const broker = yield* Broker
        const missing = `missing-${randomUUID()}`
        const consuming = Stream.runDrain(broker.deliveries({ _tag: "Queue", name: missing }, { prefetch: 1 }))
        for (const use of [consuming, Effect.asVoid(broker.depth(missing))]) {
          const error = yield* Effect.flip(use)
          assert.instanceOf(error, BrokerError)
          assert.isTrue(error.isRetryable)
        }
      })
    )
  })
