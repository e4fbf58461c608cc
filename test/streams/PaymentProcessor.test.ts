import { assert, describe } from "@effect/vitest"
import { Duration, Effect, Layer, Logger } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { PaymentGateway } from "../../src/domain/ports/PaymentGateway.ts"
import { PaymentIntents } from "../../src/domain/ports/PaymentIntents.ts"
import { Reservations } from "../../src/domain/ports/Reservations.ts"
import { changeStored } from "../../src/streams/PaymentChanges.ts"
import { processPayment } from "../../src/streams/PaymentProcessor.ts"
import {
  ask,
  back,
  type ground,
  happened,
  money,
  never,
  once,
  options,
  paymentId,
  refund,
  requests,
  scripted,
  stateOf,
  test,
  told
} from "../support/PaymentGround.ts"

describe("A payment", () => {
  test("is reserved, charged and confirmed, and each status is told of in order", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      const processed = yield* processPayment(id, options)
      assert.strictEqual(processed._tag, "Ended")
      assert.deepStrictEqual(yield* happened(id), [
        "Requested",
        "Begun",
        "StepFinished reserve",
        "ChargePrepared",
        "StepFinished charge",
        "StepFinished confirm",
        "Succeeded"
      ])
      assert.deepStrictEqual(yield* told, ["requested", "payment.commands.process", "processing", "succeeded"])
      assert.deepStrictEqual(yield* money(id), once)
    }))

  test("that is declined warns nobody: that is an answer; one whose money goes back does", () =>
    Effect.gen(function* () {
      const warnings: Array<unknown> = []
      const logger = Logger.make(({ logLevel, message }) => void (logLevel === "Warn" && warnings.push(message)))
      const warned = <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.provide(work, Logger.layer([logger]))
      yield* warned(processPayment(yield* ask({ method: "pm_card_chargeDeclined" }), options))
      assert.deepStrictEqual(warnings, [])
      const paid = yield* ask({ number: 2 })
      yield* processPayment(paid, options)
      yield* warned(changeStored(paid, refund))
      assert.deepStrictEqual(warnings.flat(), ["payment compensating"])
    }))

  test("is asked for once: the second time nothing is stored, and nothing told", () =>
    Effect.gen(function* () {
      yield* ask()
      yield* ask({ method: "pm_card_chargeDeclined" })
      assert.deepStrictEqual(yield* told, ["requested", "payment.commands.process"])
      assert.strictEqual((yield* stateOf(paymentId(1))).paymentMethod, "pm_card_visa")
    }))

  test("that was forgotten, and is asked for once more, is not charged again: its order is paid", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* processPayment(id, options)
      yield* TestClock.adjust("2 hours")
      assert.strictEqual(yield* PaymentIntents.use(({ forget }) => forget(Duration.hours(1), 10)), 1)
      yield* ask()
      yield* processPayment(id, options)
      assert.deepInclude(yield* stateOf(id), { status: "failed", failure: "order_taken" })
      assert.deepStrictEqual(yield* money(id), once)
    }))

  test("that somebody else has by now is left to them, however it has changed", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      const [intents, orders] = yield* Effect.all([PaymentIntents, Reservations])
      yield* scripted("confirm", "away")
      let isFrozen = true
      const context = yield* Effect.context<Layer.Success<typeof ground>>()
      const another = Effect.provideContext(Effect.ignore(processPayment(id, options)), context)
      // Frozen in a step: the claim lapses, and another goes on until the provider is away.
      const frozen = Layer.merge(
        Layer.succeed(PaymentIntents, {
          ...intents,
          renew: (held, lease) => (isFrozen ? Effect.succeed(true) : intents.renew(held, lease))
        }),
        Layer.succeed(Reservations, {
          ...orders,
          reserve: Effect.fnUntraced(function* (reservation) {
            yield* TestClock.adjust("31 seconds")
            yield* another
            isFrozen = false
            return yield* orders.reserve(reservation)
          })
        })
      )
      const thawed = yield* Effect.provide(processPayment(id, options), frozen)
      assert.strictEqual(thawed._tag, "Held")
      assert.deepStrictEqual(
        (yield* requests).filter((request) => request === "confirm"),
        ["confirm"]
      )
    }))

  test("that has ended is left alone", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* processPayment(id, options)
      assert.strictEqual((yield* processPayment(id, options))._tag, "Ended")
      assert.deepStrictEqual(yield* requests, ["prepare", "confirm"])
    }))

  test("that nobody has asked for is not known", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* processPayment(paymentId(9), options), { _tag: "Unknown" })
    }))

  test("that is declined fails with the provider's code, and its order is free again", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "pm_card_chargeDeclined", order: "order" })
      const processed = yield* processPayment(id, options)
      assert.strictEqual(processed._tag, "Ended")
      const { failure, status } = yield* stateOf(id)
      assert.deepStrictEqual([status, failure], ["failed", "card_declined"])
      assert.deepStrictEqual(yield* money(id), never)
      const second = yield* ask({ number: 2, order: "order" })
      yield* processPayment(second, options)
      assert.strictEqual((yield* stateOf(second)).status, "succeeded")
    }))

  test("for an order that another has taken fails, and asks its provider nothing", () =>
    Effect.gen(function* () {
      yield* processPayment(yield* ask({ order: "order" }), options)
      const second = yield* ask({ number: 2, order: "order" })
      yield* processPayment(second, options)
      const { failure, status } = yield* stateOf(second)
      assert.deepStrictEqual([status, failure], ["failed", "order_taken"])
      assert.deepStrictEqual(yield* money(second), never)
    }))

  test("whose order is cancelled while it is charged gives the money back, in reverse order", () =>
    Effect.gen(function* () {
      const id = yield* ask({ order: "order" })
      const reservations = yield* Reservations
      const gateway = yield* PaymentGateway
      yield* processPayment(id, options).pipe(
        Effect.provideService(PaymentGateway, {
          ...gateway,
          confirm: (charge) => Effect.andThen(Effect.orDie(reservations.cancel("order")), gateway.confirm(charge))
        })
      )
      const { failure, status } = yield* stateOf(id)
      assert.deepStrictEqual([status, failure], ["compensated", "order_cancelled"])
      assert.deepStrictEqual((yield* happened(id)).slice(-4), [
        "CompensationBegun",
        "StepUndone charge",
        "StepUndone reserve",
        "Compensated"
      ])
      assert.deepStrictEqual(yield* money(id), back)
    }))

  test("is refunded on request, once however often it is asked for", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* processPayment(id, options)
      yield* changeStored(id, refund)
      yield* processPayment(id, options)
      yield* changeStored(id, refund)
      yield* processPayment(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "compensated")
      assert.deepStrictEqual((yield* happened(id)).slice(-5), [
        "CompensationBegun",
        "StepUndone confirm",
        "StepUndone charge",
        "StepUndone reserve",
        "Compensated"
      ])
      assert.deepStrictEqual(yield* money(id), back)
    }))
})

describe("Without compensation", () => {
  const stopping = { ...options, isCompensating: false }

  test("money that has to go back waits for an operator, and goes back when asked for", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* processPayment(id, stopping)
      yield* changeStored(id, refund)
      assert.strictEqual((yield* processPayment(id, stopping))._tag, "Waiting")
      assert.isTrue((yield* stateOf(id)).isCompensationRequired)
      assert.deepStrictEqual(yield* money(id), once)
      yield* changeStored(id, { _tag: "ResumeCompensation" })
      yield* processPayment(id, stopping)
      assert.strictEqual((yield* stateOf(id)).status, "compensated")
      assert.deepStrictEqual(yield* money(id), back)
    }))

  test("a payment that is declined fails all the same: no money has moved", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "pm_card_chargeDeclined" })
      yield* processPayment(id, stopping)
      assert.strictEqual((yield* stateOf(id)).status, "failed")
    }))
})
