import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import * as Money from "../../../src/domain/Money.ts"
import { amountOf } from "../../../src/layers/stripe/StripeAmount.ts"

const amounts = Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: 1n, maximum: Money.largest }))
const many = { arbitrary: { runs: 500, size: 50 } }

describe("An amount for Stripe", () => {
  it.prop(
    "is the same money, counted in units that have so many places",
    {
      amount: amounts,
      currency: Schema.Literals(["BRL", "USD", "JPY", "KRW", "KWD", "ISK"])
    },
    ({ amount, currency }) => {
      const told = amountOf(amount, currency)
      if (Result.isSuccess(told)) {
        const places = { JPY: 0, KRW: 0, KWD: 3 }[currency as string] ?? 2
        assert.isTrue(Number.isSafeInteger(told.success))
        assert.strictEqual(BigInt(told.success) * 10n ** 2n, amount * 10n ** BigInt(places))
      } else {
        const isTooFine = amount % 100n !== 0n && (currency === "JPY" || currency === "KRW")
        assert.isTrue(isTooFine || (currency === "KWD" && amount * 10n > BigInt(Number.MAX_SAFE_INTEGER)))
      }
    },
    many
  )

  it("is never rounded: half a yen is refused, and the refusal does not name the amount", () => {
    const refusal = Result.getOrThrow(Result.flip(amountOf(12_350n, "JPY")))
    assert.strictEqual(refusal.reason._tag, "GatewayRefused")
    assert.include(refusal.message, "JPY")
    assert.notInclude(refusal.message, "123")
  })
})
