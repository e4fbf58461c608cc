import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { Broker } from "../../src/domain/ports/Broker.ts"
import { PaymentOutlet } from "../../src/streams/PaymentOutlet.ts"
import { processPayment } from "../../src/streams/PaymentProcessor.ts"
import { ask, ground, money, options, stateOf } from "../support/PaymentGround.ts"

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
