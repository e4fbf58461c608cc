import { assert, it } from "@effect/vitest"
import { Array as Arr, Duration, Effect, Fiber, Layer } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { slotCount } from "../../src/domain/OutboxEvent.ts"
import { Broker } from "../../src/domain/ports/Broker.ts"
import { Outbox } from "../../src/domain/ports/Outbox.ts"
import { CurrentMessage } from "../../src/streams/CurrentMessage.ts"
import { PaymentOutlet } from "../../src/streams/PaymentOutlet.ts"
import { processPayment } from "../../src/streams/PaymentProcessor.ts"
import { ask, ground, money, options, stateOf } from "../support/PaymentGround.ts"
import { traced, traceparentOf } from "../support/Spans.ts"

/** As one whose memory or disk is full: it takes what is sent when that has ended, and says nothing before. */
const blocked = Layer.mock(Broker, { kind: "none", address: "nowhere", publishToTopics: () => Effect.never })

const withoutOutbox = Layer.provideMerge(PaymentOutlet.afterCommit, Layer.merge(ground, blocked))

it.effect("A payment whose events no broker confirms goes on without them, where there is no outbox", () =>
  Effect.gen(function* () {
    const paid = yield* Effect.forkChild(
      Effect.gen(function* () {
        const id = yield* ask()
        yield* processPayment(id, options)
        return id
      })
    )
    yield* TestClock.adjust("1 minute")
    const id = yield* Fiber.join(paid)
    assert.strictEqual((yield* stateOf(id)).status, "succeeded")
    assert.strictEqual((yield* money(id)).charges, 1)
  }).pipe(Effect.provide(withoutOutbox))
)

/** The headers of all that is told, as who relays it gets them. */
const headersTold = Outbox.use((outbox) =>
  Effect.gen(function* () {
    const relay = yield* outbox.enrol(Duration.seconds(30))
    const slots = yield* outbox.acquire(relay, Arr.range(0, slotCount - 1))
    const rules = { maxAttempts: 5, dead: "hold" } as const
    const { events } = yield* outbox.take({ relay, slots, rules, limit: 10, limitPerSlot: 10 })
    return events.map(({ headers }) => headers)
  })
)

it.effect("What is told of a payment belongs to the trace of who has told it", () =>
  traced((spans) =>
    Effect.gen(function* () {
      yield* Effect.withSpan(ask(), "request")
      const request = spans.find(({ name }) => name === "request")
      // one of the spans within
      const within = spans.filter((span) => span.traceId === request?.traceId).map(traceparentOf)
      const headers = yield* headersTold
      assert.isNotEmpty(headers)
      for (const { traceparent, ...others } of headers) {
        assert.include(within, traceparent)
        assert.deepStrictEqual(others, { version: "1" })
      }
    })
  ).pipe(Effect.provide(ground))
)

it.effect("What a handler tells of a payment belongs to the trace of its message, where nobody collects spans", () =>
  Effect.gen(function* () {
    const trace = { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" }
    yield* Effect.provideService(ask(), CurrentMessage, { id: "m", nextId: () => undefined, trace })
    const headers = yield* headersTold
    assert.isNotEmpty(headers)
    for (const one of headers) assert.deepStrictEqual(one, { ...trace, version: "1" })
  }).pipe(Effect.provide(ground))
)
