import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer, Logger } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { PaymentGateway } from "../../src/domain/ports/PaymentGateway.ts"
import { PaymentIntents } from "../../src/domain/ports/PaymentIntents.ts"
import { Reservations } from "../../src/domain/ports/Reservations.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import { changeStored } from "../../src/streams/PaymentChanges.ts"
import { giveUp, processNow, processPayment } from "../../src/streams/PaymentProcessor.ts"
import {
  ask,
  ground,
  happened,
  money,
  options,
  paymentId,
  requests,
  scripted,
  stateOf,
  told
} from "../support/PaymentGround.ts"

const test = <A, E>(name: string, body: () => Effect.Effect<A, E, Layer.Success<typeof ground>>) =>
  it.effect(name, () => Effect.provide(body(), ground))

const once = { charged: 10_000n, refunded: 0n, charges: 1, refunds: 0 }
const never = { charged: 0n, refunded: 0n, charges: 0, refunds: 0 }
const back = { charged: 10_000n, refunded: 10_000n, charges: 1, refunds: 1 }

const refund = { _tag: "Refund", reason: "requested_by_customer" } as const

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

describe("A provider that does not let us in", () => {
  test("fails no payment: it stays as it is at every step, and goes on with better credentials", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      const notLetIn = Effect.map(Effect.flip(processPayment(id, options)), (error) =>
        error._tag === "GatewayError" ? error.reason._tag : error._tag
      )
      for (const operation of ["prepare", "confirm"] as const) {
        yield* scripted(operation, "unauthorized")
        assert.strictEqual(yield* notLetIn, "GatewayUnauthorized")
        assert.strictEqual((yield* stateOf(id)).status, "processing")
      }
      yield* scripted("confirm", "lost")
      yield* scripted("retrieve", "unauthorized")
      assert.strictEqual(yield* notLetIn, "GatewayUnauthorized")
      assert.strictEqual((yield* stateOf(id)).status, "in_doubt")
      yield* scripted("cancel", "unauthorized")
      assert.strictEqual(yield* notLetIn, "GatewayUnauthorized")
      assert.strictEqual((yield* stateOf(id)).status, "in_doubt")
    }))

  test("is not asked for a refund in vain: the money goes back later", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* processPayment(id, options)
      yield* changeStored(id, { _tag: "Refund", reason: "requested_by_customer" })
      yield* scripted("refund", "unauthorized")
      const error = yield* Effect.flip(processPayment(id, options))
      assert.strictEqual(error._tag, "GatewayError")
      assert.strictEqual((yield* stateOf(id)).status, "compensating")
      yield* processPayment(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "compensated")
    }))

  test("gives no payment up", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* scripted("confirm", "away")
      yield* scripted("cancel", "unauthorized")
      yield* Effect.flip(processPayment(id, options))
      assert.strictEqual((yield* Effect.flip(giveUp(id, options)))._tag, "GatewayError")
      assert.strictEqual((yield* stateOf(id)).status, "processing")
    }))
})

describe("A provider that is away", () => {
  test("is told to who asked, and the payment goes on from there", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "sandbox_twice" })
      for (let failures = 0; failures < 2; failures++) {
        const error = yield* Effect.flip(processPayment(id, options))
        assert.strictEqual(error._tag, "StepAway")
      }
      yield* processPayment(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "succeeded")
      assert.deepStrictEqual(yield* money(id), once)
    }))

  test("is given up: the charge is cancelled, and the payment fails", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "sandbox_error" })
      yield* Effect.flip(processPayment(id, options))
      const processed = yield* giveUp(id, options)
      assert.strictEqual(processed._tag, "Ended")
      const { failure, status } = yield* stateOf(id)
      assert.deepStrictEqual([status, failure], ["failed", "gateway_away"])
      assert.deepStrictEqual(yield* requests, ["prepare", "confirm", "cancel"])
    }))

  test("before it knows of the charge is given up without asking it", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* scripted("prepare", "away")
      yield* Effect.flip(processPayment(id, options))
      yield* giveUp(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "failed")
      assert.deepStrictEqual(yield* requests, ["prepare"])
    }))

  test("and cannot say that no money is taken leaves a payment that is given up in doubt", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* scripted("confirm", "away")
      yield* scripted("cancel", "away")
      yield* scripted("retrieve", "away")
      yield* Effect.flip(processPayment(id, options))
      assert.strictEqual((yield* giveUp(id, options))._tag, "Waiting")
      assert.strictEqual((yield* stateOf(id)).status, "in_doubt")
      yield* processPayment(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "failed")
      assert.deepStrictEqual(yield* money(id), never)
    }))

  test("has taken the money before it is given up: the payment succeeds", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* scripted("confirm", "away")
      yield* Effect.flip(processPayment(id, options))
      const { amount, currency, paymentMethod, reference = "" } = yield* stateOf(id)
      // Some request of before was on its way all the time.
      yield* PaymentGateway.use((gateway) =>
        gateway.confirm({ paymentId: id, amount, currency, paymentMethod, reference })
      )
      yield* giveUp(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "succeeded")
      assert.deepStrictEqual(yield* money(id), once)
    }))

  test("while a payment is undone is asked again, and never given up", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* processPayment(id, options)
      yield* changeStored(id, refund)
      yield* scripted("refund", "away", "lost", "refused", "answer lost")
      for (let failures = 0; failures < 4; failures++) {
        yield* Effect.flip(processPayment(id, options))
        assert.strictEqual((yield* stateOf(id)).status, "compensating")
      }
      yield* giveUp(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "compensated")
      assert.deepStrictEqual(yield* money(id), back)
    }))

  test("is tried again here and now, as the policy says, while somebody waits", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "sandbox_twice" })
      const retry = RetryPolicy.fixed({ maxRetries: 2, initialDelay: "1 second" })
      const fiber = yield* Effect.forkChild(processNow(id, { ...options, retry }))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "Ended")
      assert.strictEqual((yield* stateOf(id)).status, "succeeded")
    }))

  test("is given up when the policy is used up", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "sandbox_error" })
      const processed = yield* processNow(id, { ...options, retry: RetryPolicy.none })
      assert.strictEqual(processed._tag, "Ended")
      assert.strictEqual((yield* stateOf(id)).status, "failed")
      assert.deepStrictEqual(yield* requests, ["prepare", "confirm", "cancel"])
    }))
})

describe("A provider that refuses", () => {
  test("to know of a charge makes the payment fail", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "pm_unknown" })
      yield* processPayment(id, options)
      const { failure, status } = yield* stateOf(id)
      assert.deepStrictEqual([status, failure], ["failed", "gateway_refused"])
    }))

  test("to take the money is asked to cancel it before the payment fails", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* scripted("confirm", "refused")
      yield* processPayment(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "failed")
      assert.deepStrictEqual(yield* requests, ["prepare", "confirm", "cancel"])
    }))
})

describe("A charge without an answer", () => {
  test("that was taken is found, and the payment succeeds without another", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "sandbox_timeout_charged" })
      yield* processPayment(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "succeeded")
      assert.deepStrictEqual(yield* requests, ["prepare", "confirm", "retrieve"])
      assert.deepStrictEqual(yield* told, [
        "requested",
        "payment.commands.process",
        "processing",
        "in_doubt",
        "processing",
        "succeeded"
      ])
      assert.deepStrictEqual(yield* money(id), once)
    }))

  test("that was not taken is cancelled, and the payment fails", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "sandbox_timeout" })
      yield* processPayment(id, options)
      const { failure, status } = yield* stateOf(id)
      assert.deepStrictEqual([status, failure], ["failed", "unanswered"])
      assert.deepStrictEqual(yield* requests, ["prepare", "confirm", "retrieve", "cancel"])
    }))

  test("stays in doubt while its provider is away or has not decided", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "sandbox_timeout_charged" })
      yield* scripted("retrieve", "away")
      yield* Effect.flip(processPayment(id, options))
      assert.strictEqual((yield* stateOf(id)).status, "in_doubt")
      const gateway = yield* PaymentGateway
      const undecided = { ...gateway, retrieve: () => Effect.succeed({ _tag: "Pending" } as const) }
      const processed = yield* Effect.provideService(processPayment(id, options), PaymentGateway, undecided)
      assert.strictEqual(processed._tag, "Waiting")
      yield* processPayment(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "succeeded")
    }))

  test("is prepared again where even that was not answered: it takes no money", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* scripted("prepare", "answer lost")
      yield* Effect.flip(processPayment(id, options))
      yield* processPayment(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "succeeded")
      assert.deepStrictEqual(yield* money(id), once)
    }))
})

describe("Several processors", () => {
  const slowly = Effect.fnUntraced(function* () {
    const gateway = yield* PaymentGateway
    const begun = yield* Deferred.make<void>()
    const goOn = yield* Deferred.make<void>()
    const service = {
      ...gateway,
      confirm: (charge: Parameters<typeof gateway.confirm>[0]) =>
        Deferred.succeed(begun, undefined).pipe(
          Effect.andThen(Deferred.await(goOn)),
          Effect.andThen(gateway.confirm(charge))
        )
    }
    return { begun: Deferred.await(begun), goOn: Deferred.succeed(goOn, undefined), service }
  })

  test("take up a payment one at a time, for as long as the first works on it", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      const { begun, goOn, service } = yield* slowly()
      const first = yield* Effect.forkChild(Effect.provideService(processPayment(id, options), PaymentGateway, service))
      yield* begun
      yield* TestClock.adjust(Duration.times(options.lease, 5))
      assert.strictEqual((yield* processPayment(id, options))._tag, "Held")
      yield* goOn
      assert.strictEqual((yield* Fiber.join(first))._tag, "Ended")
      assert.deepStrictEqual(yield* money(id), once)
    }))

  test("go on where one has died, once its lease is over", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      const intents = yield* PaymentIntents
      yield* intents.claim(id, options.lease)
      assert.strictEqual((yield* processPayment(id, options))._tag, "Held")
      yield* TestClock.adjust(options.lease)
      assert.strictEqual((yield* processPayment(id, options))._tag, "Ended")
    }))

  test("that have lost their claim store nothing more", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      const intents = yield* PaymentIntents
      const { begun, goOn, service } = yield* slowly()
      const deaf = { ...intents, renew: () => Effect.succeed(true) }
      const first = yield* processPayment(id, options).pipe(
        Effect.provideService(PaymentGateway, service),
        Effect.provideService(PaymentIntents, deaf),
        Effect.forkChild
      )
      yield* begun
      yield* TestClock.adjust(options.lease)
      yield* processPayment(id, options)
      const history = yield* happened(id)
      yield* goOn
      assert.strictEqual((yield* Fiber.join(first))._tag, "Ended")
      assert.deepStrictEqual(yield* happened(id), history)
      assert.deepStrictEqual(yield* money(id), once)
    }))

  test("go on from what a provider has told meanwhile", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      const { begun, goOn, service } = yield* slowly()
      const first = yield* Effect.forkChild(Effect.provideService(processPayment(id, options), PaymentGateway, service))
      yield* begun
      yield* changeStored(id, { _tag: "FinishStep", step: "charge" })
      yield* goOn
      assert.strictEqual((yield* Fiber.join(first))._tag, "Ended")
      assert.strictEqual((yield* stateOf(id)).status, "succeeded")
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
