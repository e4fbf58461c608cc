import { assert, describe } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { PaymentGateway } from "../../src/domain/ports/PaymentGateway.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import { changeStored } from "../../src/streams/PaymentChanges.ts"
import { giveUp, processNow, processPayment } from "../../src/streams/PaymentProcessor.ts"
import {
  ask,
  back,
  money,
  never,
  once,
  options,
  refund,
  requests,
  scripted,
  stateOf,
  test,
  told
} from "../support/PaymentGround.ts"

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
      yield* changeStored(id, refund)
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

  test("that was cancelled or refunded at the provider, by somebody else, makes the payment fail: no money is held", () =>
    Effect.gen(function* () {
      const gateway = yield* PaymentGateway
      for (const [number, tag, failure] of [
        [1, "Cancelled", "unanswered"],
        [2, "Refunded", "refunded_at_provider"]
      ] as const) {
        const id = yield* ask({ number, method: "sandbox_timeout" })
        const told = { ...gateway, retrieve: () => Effect.succeed({ _tag: tag } as const) }
        yield* Effect.provideService(processPayment(id, options), PaymentGateway, told)
        assert.deepInclude(yield* stateOf(id), { status: "failed", failure })
      }
    }))

  test("stays in doubt while its provider or has not decided", () =>
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
