import { assert, describe } from "@effect/vitest"
import { Effect, Logger } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { PaymentGateway } from "../../src/domain/ports/PaymentGateway.ts"
import { PaymentIntents } from "../../src/domain/ports/PaymentIntents.ts"
import { GatewayBooks } from "../../src/layers/memory/MemoryGateway.ts"
import { changeStored } from "../../src/streams/PaymentChanges.ts"
import { processPayment } from "../../src/streams/PaymentProcessor.ts"
import { noLooks, swept } from "../../src/streams/PaymentSweep.ts"
import {
  ask,
  back,
  happened,
  money,
  once,
  options,
  refund,
  requests,
  scripted,
  stateOf,
  sweeping,
  test,
  told
} from "../support/PaymentGround.ts"

/** One that was paid, and whose money is asked for back. */
const refunding = Effect.fnUntraced(function* (method: string) {
  const id = yield* ask({ method })
  yield* processPayment(id, options)
  yield* changeStored(id, refund)
  return id
})

const count = (operation: string) =>
  Effect.map(requests, (all) => all.filter((request) => request === operation).length)

describe("A refund that is under way", () => {
  test("leaves the payment compensating, and is looked at until the money is back", () =>
    Effect.gen(function* () {
      const id = yield* refunding("sandbox_refund_pending")
      const processed = yield* processPayment(id, options)
      assert.strictEqual(processed._tag, "Waiting")
      assert.strictEqual((yield* stateOf(id)).status, "compensating")
      yield* processPayment(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "compensated")
      assert.deepStrictEqual(yield* money(id), back)
      assert.strictEqual(yield* count("refund"), 1)
      assert.deepStrictEqual((yield* told).slice(-2), ["compensating", "compensated"])
    }))

  test("is looked at by the sweep, less and less often, and is not stuck while its provider answers", () =>
    Effect.gen(function* () {
      const id = yield* refunding("sandbox_refund_pending")
      const gateway = yield* PaymentGateway
      let asked = 0
      // Days on which the provider says the same.
      const undecided = {
        ...gateway,
        retrieveRefund: () =>
          Effect.sync(() => {
            asked++
            return { _tag: "Pending" } as const
          })
      }
      const looks = noLooks()
      const errors: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => void (logLevel === "Error" && errors.push(String(message))))
      const sweepOnce = swept(sweeping, looks).pipe(
        Effect.provide(Logger.layer([logger])),
        Effect.provideService(PaymentGateway, undecided)
      )
      for (let minutes = 0; minutes < 48 * 60; minutes++) {
        yield* sweepOnce
        yield* TestClock.adjust("1 minute")
      }
      assert.deepStrictEqual(errors, [])
      assert.isAtLeast(asked, 40)
      assert.isAtMost(asked, 120)
      assert.strictEqual((yield* stateOf(id)).status, "compensating")
    }))

  test("is asked for again where the provider knows of none", () =>
    Effect.gen(function* () {
      const id = yield* refunding("pm_card_visa")
      const unwinding = yield* changeStored(id, { _tag: "UndoStep", step: "confirm" })
      assert.strictEqual(unwinding?.state.status, "compensating")
      yield* changeStored(id, { _tag: "AwaitRefund" })
      yield* processPayment(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "compensated")
      assert.deepStrictEqual(yield* money(id), back)
    }))

  test("whose provider is away is looked at later", () =>
    Effect.gen(function* () {
      const id = yield* refunding("sandbox_refund_pending")
      yield* scripted("retrieveRefund", "away")
      const error = yield* Effect.flip(processPayment(id, options))
      assert.strictEqual(error._tag === "StepAway" ? error.step : error._tag, "refund")
      yield* processPayment(id, options)
      yield* processPayment(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "compensated")
    }))
})

describe("A refund that comes to nothing", () => {
  test("waits for an operator, who is told why, and is asked for once more when they say so", () =>
    Effect.gen(function* () {
      const id = yield* refunding("sandbox_refund_fails")
      const errors: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => void (logLevel === "Error" && errors.push(String(message))))
      yield* processPayment(id, options)
      yield* Effect.provide(processPayment(id, options), Logger.layer([logger]))
      const { isCompensationRequired, refundFailures, status } = yield* stateOf(id)
      assert.deepStrictEqual([status, isCompensationRequired], ["compensating", true])
      assert.deepStrictEqual(refundFailures, ["expired_or_canceled_card"])
      assert.deepStrictEqual(errors, ["the money of a payment has not gone back: it waits for `sagas compensate`"])
      assert.deepStrictEqual(yield* money(id), once)

      assert.strictEqual((yield* processPayment(id, options))._tag, "Waiting")
      yield* changeStored(id, { _tag: "ResumeCompensation" })
      yield* processPayment(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "compensated")
      assert.deepStrictEqual(yield* money(id), back)
    }))

  test("after it was said to be done is found when the provider tells of it, and the money goes back after all", () =>
    Effect.gen(function* () {
      const id = yield* refunding("pm_card_visa")
      yield* processPayment(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "compensated")
      yield* GatewayBooks.use((books) => books.failRefund(id))
      const doubt = { _tag: "DoubtRefund", refund: "re_1" } as const
      yield* changeStored(id, doubt)
      yield* processPayment(id, options)
      assert.isTrue((yield* stateOf(id)).isCompensationRequired)
      yield* changeStored(id, { _tag: "ResumeCompensation" })
      yield* processPayment(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "compensated")
      assert.deepStrictEqual(yield* money(id), back)
      // The same notice once more changes nothing.
      const history = yield* happened(id)
      yield* changeStored(id, doubt)
      yield* processPayment(id, options)
      assert.deepStrictEqual(yield* happened(id), history)
    }))

  test("and is not so, leaves the payment compensated: nothing is asked for again", () =>
    Effect.gen(function* () {
      const id = yield* refunding("pm_card_visa")
      yield* processPayment(id, options)
      yield* changeStored(id, { _tag: "DoubtRefund", refund: "re_1" })
      yield* processPayment(id, options)
      assert.strictEqual((yield* stateOf(id)).status, "compensated")
      assert.strictEqual(yield* count("refund"), 1)
      const payment = yield* PaymentIntents.use((intents) => intents.find(id))
      assert.deepStrictEqual(payment?.state.finished, [])
    }))
})
