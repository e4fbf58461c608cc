import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as PaymentMessages from "../../src/domain/PaymentMessages.ts"
import { requested } from "../../src/domain/PaymentState.ts"

const id = "0199a7a0-0000-7000-8000-000000000001"
const state = requested({
  _tag: "Requested",
  amount: 10_000n,
  currency: "BRL",
  paymentMethod: "pm_card_visa",
  orderId: "order-1"
})

const command = PaymentMessages.processCommand({ id, state }, "process/1", 1_800_000_000_000)
const event = PaymentMessages.statusEvent({ id, state }, 1, 1_800_000_000_000)

describe("What is said of payments", () => {
  it("says the version of its schema in a header, and has the payment's id for its key", () => {
    for (const { headers, key } of [command, event]) {
      assert.deepStrictEqual(headers, { version: "1" })
      assert.strictEqual(key, id)
    }
    assert.strictEqual(event.topic, "payment.events.requested")
    assert.strictEqual(command.topic, "payment.commands.process")
  })

  it("holds nothing of the payer's", () => {
    assert.notMatch(JSON.stringify([command, event]), /pm_card/)
  })

  for (const { message, schema } of [
    { message: command, schema: PaymentMessages.ProcessPayment },
    { message: event, schema: PaymentMessages.PaymentStatusChanged }
  ] as ReadonlyArray<{ message: typeof command; schema: Schema.Codec<unknown, unknown> }>) {
    it.effect(`keeps fields that a later version has added, to be passed on as they were (${message.topic})`, () =>
      Effect.gen(function* () {
        const later = {
          ...(message.payload as object),
          channel: "app",
          "risk-score": { of: "bank", points: [1, null] }
        }
        const decoded = yield* Schema.decodeEffect(schema)(later)
        assert.deepInclude(decoded as object, { channel: "app", "risk-score": { of: "bank", points: [1, null] } })
        assert.deepStrictEqual(yield* Schema.encodeEffect(schema)(decoded), later)
      })
    )
  }
})
