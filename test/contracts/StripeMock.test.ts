/** Our requests are such as Stripe describes its API: Stripe's own mock server takes them. */
import { randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { Context, Duration, Effect, Layer } from "effect"
import { PaymentGateway } from "../../src/domain/ports/PaymentGateway.ts"
import { stripeAt } from "../support/StripeStage.ts"
import * as StripeMock from "../support/servers/StripeMock.ts"

class Address extends Context.Service<Address, string>()("paystream/test/StripeMockAddress") {
  static readonly layer = Layer.effect(Address, StripeMock.start)
}

const gateway = Layer.unwrap(Effect.map(Address, (url) => stripeAt(url, { timeout: Duration.seconds(20) })))

const charge = { paymentId: randomUUID(), amount: 1050n, currency: "BRL", paymentMethod: "pm_card_visa" }

layer(Layer.provideMerge(gateway, Address.layer), { excludeTestServices: true, timeout: "60 seconds" })(
  "Stripe's description of its API",
  (it) => {
    it.effect("knows every request of ours", () =>
      Effect.gen(function* () {
        const gateway = yield* PaymentGateway
        const reference = yield* gateway.prepare(charge)
        assert.match(reference, /^pi_/)
        const sent = { ...charge, reference }
        // the mock server has one PaymentIntent, whose state no request changes
        const state = yield* gateway.retrieve(reference)
        assert.deepStrictEqual(yield* gateway.confirm(sent), state)
        assert.deepStrictEqual(yield* gateway.cancel(reference), state)
        const refund = { ...sent, attempt: 1 }
        assert.deepStrictEqual(yield* gateway.refund(refund), { _tag: "Refunded" })
        yield* gateway.retrieveRefund(refund)
      })
    )

    it.effect("would have us refused for a parameter that it does not know", () =>
      Effect.gen(function* () {
        const url = yield* Address
        const headers = {
          authorization: "Bearer sk_test_paystream",
          "content-type": "application/x-www-form-urlencoded"
        }
        const body = "amount=1050&currency=brl&payment_metod=pm_card_visa"
        const { status } = yield* Effect.promise(() =>
          fetch(`${url}/v1/payment_intents`, { method: "POST", headers, body })
        )
        assert.strictEqual(status, 400)
      })
    )
  }
)
