import { assert, describe, it } from "@effect/vitest"
import { type Intent, type Refund, statusOf, statusOfRefunds } from "../../../src/layers/stripe/StripeStatus.ts"

const intentOf = (fields: Readonly<Record<string, unknown>>): Intent =>
  ({ last_payment_error: null, latest_charge: null, ...fields }) as unknown as Intent

describe("A PaymentIntent of Stripe's", () => {
  it.each<readonly [Readonly<Record<string, unknown>>, string]>([
    [{ status: "succeeded" }, "Charged"],
    [{ status: "succeeded", latest_charge: "ch_1" }, "Charged"],
    [{ status: "succeeded", latest_charge: { refunded: false } }, "Charged"],
    [{ status: "succeeded", latest_charge: { refunded: true } }, "Refunded"],
    [{ status: "canceled" }, "Cancelled"],
    [{ status: "canceled", last_payment_error: { code: "card_declined" } }, "Cancelled"],
    [{ status: "requires_confirmation" }, "Unconfirmed"],
    [{ status: "requires_payment_method" }, "Unconfirmed"],
    [{ status: "requires_payment_method", last_payment_error: { code: "card_declined" } }, "Declined"],
    [{ status: "processing" }, "Pending"],
    [{ status: "requires_action" }, "Pending"],
    [{ status: "requires_capture" }, "Pending"],
    [{ status: "a state of next year" }, "Pending"]
  ])("%j is a charge that is %s", (fields, tag) => assert.strictEqual(statusOf(intentOf(fields))._tag, tag))

  it.each([
    [{ code: "card_declined", decline_code: "insufficient_funds" }, "insufficient_funds"],
    [{ code: "expired_card" }, "expired_card"],
    [{}, "card_declined"]
  ])("is declined with the most exact code: %j", (last_payment_error, code) =>
    assert.deepStrictEqual(statusOf(intentOf({ status: "requires_payment_method", last_payment_error })), {
      _tag: "Declined",
      code
    })
  )
})

const refundOf = (amount: number, status: string, failure_reason?: string): Refund => ({
  amount,
  status,
  ...(failure_reason === undefined ? {} : { failure_reason })
})

const [done, onItsWay] = [{ _tag: "Refunded" }, { _tag: "Pending" }] as const
const lost = { _tag: "Failed", code: "lost_or_stolen_card" } as const

describe("The refunds of a charge of 1000 at Stripe, latest first", () => {
  it.each<readonly [ReadonlyArray<Refund>, number, unknown]>([
    [[], 1, undefined],
    [[refundOf(1000, "succeeded")], 1, done],
    [[refundOf(1000, "pending")], 1, onItsWay],
    [[refundOf(1000, "requires_action")], 1, onItsWay],
    [[refundOf(1000, "failed", "lost_or_stolen_card")], 1, lost],
    [[refundOf(1000, "canceled")], 1, { _tag: "Failed", code: "refund_canceled" }],
    // the second attempt is not known of yet
    [[refundOf(1000, "failed", "lost_or_stolen_card")], 2, undefined],
    [[refundOf(1000, "succeeded"), refundOf(1000, "failed")], 2, done],
    [[refundOf(1000, "failed", "lost_or_stolen_card"), refundOf(1000, "failed")], 2, lost],
    // a part of it was given back by hand
    [[refundOf(400, "succeeded")], 1, undefined],
    [[refundOf(600, "succeeded"), refundOf(400, "succeeded")], 1, done],
    [[refundOf(600, "pending"), refundOf(400, "succeeded")], 1, onItsWay],
    [[refundOf(600, "failed", "lost_or_stolen_card"), refundOf(400, "succeeded")], 1, lost]
  ])("%j at attempt %d come to %j", (refunds, attempt, status) =>
    assert.deepStrictEqual(statusOfRefunds(refunds, { amount: 1000, attempt }), status)
  )
})
