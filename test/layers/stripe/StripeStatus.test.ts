import { assert, describe, it } from "@effect/vitest"
import { type Intent, statusOf } from "../../../src/layers/stripe/StripeStatus.ts"

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
