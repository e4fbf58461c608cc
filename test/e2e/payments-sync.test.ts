/** Payments that are processed within their request, and what a provider tells by itself. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import Stripe from "stripe"
import * as Api from "../support/Api.ts"
import { inTurn } from "../support/inTurn.ts"
import * as Payments from "../support/Payments.ts"
import * as Stage from "../support/Stage.ts"
import { eventually } from "../support/servers/eventually.ts"

const secret = "whsec_test"

/** As Stripe signs what it sends; `ageSeconds` ago. */
const signed = (notice: string, ageSeconds = 0) => ({
  "stripe-signature": Stripe.webhooks.generateTestHeaderString({
    payload: notice,
    secret,
    timestamp: Math.floor(Date.now() / 1000) - ageSeconds
  })
})

const notice = (reference: string, type = "payment_intent.succeeded") =>
  JSON.stringify({
    id: "evt_1",
    object: "event",
    type,
    data: { object: { id: reference, object: "payment_intent", status: "succeeded" } }
  })

const synchronous = { ENABLE_ASYNC_COMMANDS: "false", API_PAYMENT_TIMEOUT_SECONDS: "60" }

for (const runtime of Stage.runtimes) {
  const live = inTurn(runtime)
  describe.concurrent(`payments within their request (${runtime})`, () => {
    live("are answered 201 with what came of them, a decline too, and refunded once", () =>
      Effect.gen(function* () {
        const { ask, rows, url } = yield* Payments.start({ runtime, env: synchronous })
        const charged = yield* ask(Payments.body(), "charged")
        const { id, status } = Payments.told(charged)
        assert.deepStrictEqual([charged.status, charged.headers.get("location")], [201, `/payments/${id}`])
        assert.strictEqual(status, "succeeded")
        const again = yield* ask(Payments.body(), "charged")
        assert.deepStrictEqual(
          [again.status, again.text, again.headers.get("idempotency-replayed")],
          [201, charged.text, "true"]
        )
        const declined = yield* ask(Payments.body("pm_card_chargeDeclined"))
        assert.deepStrictEqual([declined.status, Payments.told(declined).status], [201, "failed"])
        assert.strictEqual(Payments.told(declined).failure, "card_declined")
        const inDoubt = yield* ask(Payments.body("sandbox_timeout_charged"))
        assert.deepStrictEqual([inDoubt.status, Payments.told(inDoubt).status], [201, "succeeded"])
        assert.include(
          (Payments.told(inDoubt).history ?? []).map(({ event }) => event),
          "doubted"
        )

        const refund = (of: string, body = "") => Api.post(`${url}/payments/${of}/refund`, body)
        const first = yield* refund(id, '{"reason":"requested_by_customer"}')
        assert.deepStrictEqual([first.status, Payments.told(first).status], [200, "compensated"])
        assert.strictEqual(Payments.told(first).failure, "requested_by_customer")
        assert.strictEqual((yield* refund(id)).text, first.text)
        const refused = yield* refund(Payments.told(declined).id)
        assert.deepStrictEqual(
          [refused.status, JSON.parse(refused.text).type],
          [409, "urn:paystream:problem:payment-not-refundable"]
        )
        const commands = yield* rows("SELECT 1 FROM outbox_events WHERE topic LIKE '%commands%'")
        assert.deepStrictEqual(commands, [])
        // kept with the key is the first answer; the keys lost, it is the payment as it stands
        yield* rows("DELETE FROM idempotency_keys")
        const later = yield* ask(Payments.body(), "charged")
        assert.deepStrictEqual([later.status, Payments.told(later).status], [201, "compensated"])
      })
    )

    live("that take too long are answered 202, go on, and give the money of a cancelled order back", () =>
      Effect.gen(function* () {
        const env = { ...synchronous, API_PAYMENT_TIMEOUT_SECONDS: "0.1", SANDBOX_DELAY_MILLIS: "6000" }
        const { ask, url } = yield* Payments.start({ runtime, env })
        const slow = yield* ask(Payments.body("pm_card_visa", { orderId: "order-1" }), "slow")
        assert.strictEqual(slow.status, 202)
        const location = `${url}${slow.headers.get("location")}`
        yield* eventually(
          Effect.map(Api.ask(location), (answer) =>
            assert.include(
              (Payments.told(answer).history ?? []).map(({ step }) => step),
              "reserve"
            )
          ),
          { deadline: "30 seconds", every: "20 millis" }
        )
        const cancelled = yield* Api.post(`${url}/orders/order-1/cancel`, "")
        assert.deepStrictEqual(
          [cancelled.status, JSON.parse(cancelled.text)],
          [200, { orderId: "order-1", takesPayments: false }]
        )
        const undone = yield* Payments.reaches(location, "compensated")
        assert.strictEqual(undone.failure, "order_cancelled")
        const later = yield* ask(Payments.body("pm_card_visa", { orderId: "order-1" }))
        yield* Payments.reaches(`${url}${later.headers.get("location")}`, "failed")
        const again = yield* ask(Payments.body("pm_card_visa", { orderId: "order-1" }), "slow")
        assert.deepStrictEqual([again.status, again.text], [202, slow.text])
      })
    )
  })

  describe.concurrent(`webhooks (${runtime})`, () => {
    live("that tell of money which went back without us are told in the log, and a refund settles it", () =>
      Effect.gen(function* () {
        const env = { ...synchronous, STRIPE_WEBHOOK_SECRET: secret }
        const { ask, child, url } = yield* Payments.start({ runtime, env })
        const { id, reference = "" } = Payments.told(yield* ask(Payments.body()))
        const body = JSON.stringify({
          id: "evt_2",
          object: "event",
          type: "charge.refunded",
          data: { object: { id: "ch_1", object: "charge", payment_intent: reference, refunded: true } }
        })
        const send = Api.post(`${url}/webhooks/stripe`, body, signed(body))
        assert.strictEqual((yield* send).status, 200)
        const line = yield* child.waitForLine(/given the money of a payment back/)
        assert.include(line, id)
        const refunded = yield* Api.post(`${url}/payments/${id}/refund`, "")
        assert.strictEqual(Payments.told(refunded).status, "compensated")
      })
    )

    live("are taken if they are signed and fresh, without an API key, and send one command however often", () =>
      Effect.gen(function* () {
        const env = { STRIPE_WEBHOOK_SECRET: secret, API_KEYS: "ann", MAX_BODY_BYTES: "10000" }
        const { ask, rows, url } = yield* Payments.start({ runtime, env })
        const { id } = Payments.told(yield* ask(Payments.body(), "k", { "x-api-key": "ann" }))
        yield* rows(`UPDATE payment_intents SET provider_reference = 'pi_1' WHERE id = '${id}'`)
        const send = (body: string, headers: Readonly<Record<string, string>>) =>
          Api.post(`${url}/webhooks/stripe`, body, headers)
        const commands = Effect.map(rows<Payments.OutboxRow>(Payments.outbox), (events) =>
          events.filter(({ topic }) => topic === "payment.commands.process").map(({ payload }) => payload.commandId)
        )

        const mine = notice("pi_1")
        assert.deepStrictEqual((yield* send(mine, signed(mine))).status, 200)
        const [, second, ...others] = yield* commands
        assert.match(String(second), /^webhook\/[0-9a-f]{64}$/)
        assert.deepStrictEqual(others, [])
        yield* send(mine, signed(mine))
        assert.deepStrictEqual(new Set((yield* commands).slice(1)), new Set([second]))

        const sent = (yield* commands).length
        const refusals = [
          send(mine, {}),
          send(mine, signed(notice("pi_2"))),
          send(`${mine} `, signed(mine)),
          send(mine, signed(mine, 3600))
        ]
        for (const refusal of refusals) {
          const answer = yield* refusal
          assert.deepStrictEqual(
            [answer.status, JSON.parse(answer.text).type],
            [400, "urn:paystream:problem:invalid-signature"]
          )
        }
        for (const ignored of [notice("pi_unknown"), notice("pi_1", "customer.created")]) {
          assert.strictEqual((yield* send(ignored, signed(ignored))).status, 200)
        }
        const large = notice("a".repeat(10_000))
        assert.strictEqual((yield* send(large, signed(large))).status, 413)
        assert.strictEqual((yield* commands).length, sent)
      })
    )
  })
}
