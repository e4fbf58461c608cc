import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Result, Schema } from "effect"
import { textOf } from "../../src/domain/Money.ts"
import * as PaymentRequest from "../../src/domain/PaymentRequest.ts"
import { requested } from "../../src/domain/PaymentState.ts"
import * as PaymentBody from "../../src/layers/http/PaymentBody.ts"

const encoder = new TextEncoder()
const decode = (text: string) => PaymentBody.decode(encoder.encode(text))
const decoded = (text: string) => Result.getOrThrow(decode(text))

const requests = Arbitrary.schema(PaymentRequest.PaymentRequest)
const runs = { arbitrary: { runs: 300, size: 50 } }

describe("a payment request", () => {
  it.prop(
    "is what was written: as text or as a number, its members in any order, with others beside them",
    { request: requests },
    ({ request }) => {
      const amount = textOf(request.amount)
      const { currency, orderId, paymentMethod } = request
      const texts = [
        JSON.stringify({ amount, currency, paymentMethod, orderId }),
        JSON.stringify({ more: { amount: 1 }, orderId, paymentMethod, currency, amount }),
        `{"amount": ${amount}, ${JSON.stringify({ currency, paymentMethod, orderId }).slice(1)}`
      ]
      for (const text of texts) {
        assert.deepStrictEqual(decoded(text), request)
        assert.strictEqual(PaymentRequest.fingerprintOf(decoded(text)), PaymentRequest.fingerprintOf(request))
      }
    },
    runs
  )

  it.prop(
    "is found again in the payment that it made, and no other is",
    { one: requests, other: requests, id: Arbitrary.schema(Schema.String.check(Schema.isUUID())) },
    ({ id, one, other }) => {
      const payment = requested(PaymentRequest.requestedBy(id, one))
      assert.isTrue(PaymentRequest.isAskedForBy(one, id, payment))
      const isSame = PaymentRequest.fingerprintOf(one) === PaymentRequest.fingerprintOf(other)
      assert.strictEqual(PaymentRequest.isAskedForBy(other, id, payment), isSame)
    },
    runs
  )

  it("is in reais unless it says otherwise, and takes no amount that a float would round", () => {
    assert.strictEqual(decoded('{"amount":"1","paymentMethod":"pm_card_visa"}').currency, "BRL")
    assert.isTrue(Result.isFailure(decode('{"amount":0.30000000000000004,"paymentMethod":"pm_card_visa"}')))
    assert.strictEqual(decoded('{"amount":9999999999999.99,"paymentMethod":"a"}').amount, 999_999_999_999_999n)
  })

  it("never holds a card number, nor an amount in a currency that is written otherwise", () => {
    for (const wrong of [
      { paymentMethod: "4111 1111 1111 1111" },
      { paymentMethod: "5500000000000004" },
      { currency: "JPY" },
      { currency: "KWD" },
      { currency: "brl" },
      { amount: "-1" },
      { amount: "1e2" },
      { orderId: "" }
    ]) {
      const text = JSON.stringify({ amount: "1.00", currency: "BRL", paymentMethod: "pm_card_visa", ...wrong })
      assert.isTrue(Result.isFailure(decode(text)), text)
    }
  })
})

describe("a request for a refund", () => {
  const reasonOf = (text: string) => PaymentBody.decodeRefund(encoder.encode(text))

  it("needs no body, may give a code for its reason, and is of the whole amount", () => {
    assert.deepStrictEqual(reasonOf(""), Result.succeed("refund_requested"))
    assert.deepStrictEqual(reasonOf("{}"), Result.succeed("refund_requested"))
    assert.deepStrictEqual(reasonOf('{"reason":"requested_by_customer"}'), Result.succeed("requested_by_customer"))
    for (const wrong of ['{"amount":"1.00"}', '{"reason":"Because Ana said so"}', "[]", "{"]) {
      assert.isTrue(Result.isFailure(reasonOf(wrong)), wrong)
    }
  })
})
