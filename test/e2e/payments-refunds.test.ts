/** Money that is given back and does not arrive: from the provider's notice to the operator, and back once more. */
import { assert, describe } from "@effect/vitest"
import { Clock, Effect } from "effect"
import * as Api from "../support/Api.ts"
import { inTurn } from "../support/inTurn.ts"
import * as Payments from "../support/Payments.ts"
import { eventOf, signed } from "../support/provider/webhook.ts"
import * as Stage from "../support/Stage.ts"
import * as PaymentProvider from "../support/servers/PaymentProvider.ts"

const secret = "whsec_test"

const synchronous = {
  ENABLE_ASYNC_COMMANDS: "false",
  API_PAYMENT_TIMEOUT_SECONDS: "60",
  PAYMENT_OVERDUE_SECONDS: "1",
  PAYMENT_SWEEP_SECONDS: "0.5"
}

/** As Stripe tells of a refund of its. */
const sendNotice = Effect.fnUntraced(function* (
  url: string,
  type: string,
  refund: { readonly id: string; readonly payment_intent: string; readonly status: string }
) {
  const event = eventOf(type, { object: "refund", ...refund })
  const { body, signature } = signed(event, secret, yield* Clock.currentTimeMillis)
  const text = new TextDecoder().decode(body)
  return yield* Api.post(`${url}/webhooks/stripe`, text, { "stripe-signature": signature })
})

for (const runtime of Stage.runtimes) {
  const live = inTurn(runtime)
  describe.concurrent(`refunds (${runtime})`, () => {
    live("that the provider says have failed, weeks after they were done, come to an operator and go out again", () =>
      Effect.gen(function* () {
        const provider = yield* PaymentProvider.start
        const env = {
          ...synchronous,
          PAYMENT_GATEWAY: "stripe",
          STRIPE_API_KEY: "sk_test_paystream",
          STRIPE_API_BASE: provider.url,
          STRIPE_WEBHOOK_SECRET: secret
        }
        const { ask, child, stage, url } = yield* Payments.start({ runtime, env })
        const { id } = Payments.told(yield* ask(Payments.body()))
        yield* Api.post(`${url}/payments/${id}/refund`, "")
        yield* Payments.reaches(`${url}/payments/${id}`, "compensated")
        const { reference, refund } = yield* provider.endRefund(id, "failed")
        const money = Effect.map(provider.report, ({ payments }) => payments[id])
        assert.strictEqual((yield* money)?.refunds, 0)

        const notice = { id: refund, payment_intent: reference, status: "failed" }
        assert.strictEqual((yield* sendNotice(url, "refund.failed", notice)).status, 200)
        const waiting = yield* Payments.reaches(`${url}/payments/${id}`, "compensating")
        assert.isTrue(waiting.history?.some(({ event }) => event === "refund_failed"))
        assert.include(yield* child.waitForLine(/has not gone back/), id)
        const listed = yield* Stage.run(stage, { runtime, args: ["sagas", "list"] })
        assert.include(listed.stdout, "refund failed: expired_or_canceled_card")
        assert.include(listed.stdout, `sagas compensate ${id}`)

        assert.strictEqual((yield* Stage.run(stage, { runtime, args: ["sagas", "compensate", id] })).code, 0)
        const { history } = yield* Payments.reaches(`${url}/payments/${id}`, "compensated")
        assert.strictEqual((yield* money)?.refunds, 1)

        // Late and repeated notices of the same refund are no news any more.
        for (const type of ["refund.failed", "charge.refund.updated"]) yield* sendNotice(url, type, notice)
        assert.deepStrictEqual((yield* Payments.reaches(`${url}/payments/${id}`, "compensated")).history, history)
        assert.strictEqual((yield* money)?.refunds, 1)
      })
    )

    live("that are under way are answered 202, and are compensated when the money is back", () =>
      Effect.gen(function* () {
        const { ask, url } = yield* Payments.start({ runtime, env: synchronous })
        const { id } = Payments.told(yield* ask(Payments.body("sandbox_refund_pending")))
        const refunded = yield* Api.post(`${url}/payments/${id}/refund`, "")
        assert.deepStrictEqual([refunded.status, Payments.told(refunded).status], [202, "compensating"])
        yield* Payments.reaches(`${url}/payments/${id}`, "compensated")
      })
    )
  })
}
