import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Redacted, Schema } from "effect"
import { TestClock } from "effect/testing"
import { ChargeNotices } from "../../../src/domain/ports/ChargeNotices.ts"
import * as StripeWebhook from "../../../src/layers/stripe/StripeWebhook.ts"
import { eventOf, signed } from "../../support/provider/webhook.ts"

const secret = "whsec_of_today"
const now = 1_800_000_000_000
const minute = 60_000

const read = (
  { body, signature }: { readonly body: Uint8Array; readonly signature?: string | undefined },
  secrets: ReadonlyArray<string> = [secret]
) =>
  Effect.andThen(
    TestClock.setTime(now),
    ChargeNotices.use((notices) => notices.read(body, signature))
  ).pipe(Effect.provide(StripeWebhook.layer(secrets.map((text) => Redacted.make(text)))))

const isRefused = (...given: Parameters<typeof read>) => Effect.map(Effect.exit(read(...given)), Exit.isFailure)

const succeeded = eventOf("payment_intent.succeeded", { id: "pi_1", status: "succeeded", note: "São Paulo \u{fffd}" })

const positions = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000 }))
const changes = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 255 }))
const many = { arbitrary: { runs: 300, size: 50 } }

const flipped = (bytes: Uint8Array, position: number, change: number): Uint8Array => {
  const copy = Uint8Array.from(bytes)
  const index = position % copy.length
  copy[index] = (copy[index] ?? 0) ^ change
  return copy
}

describe("A webhook of Stripe's", () => {
  it.effect("tells the reference of a charge and how it stands", () =>
    Effect.gen(function* () {
      const told = yield* read(signed(succeeded, secret, now))
      assert.deepStrictEqual(told, { _tag: "Charge", reference: "pi_1", status: { _tag: "Charged" } })
    })
  )

  it.effect.each<readonly [string, Readonly<Record<string, unknown>>, unknown]>([
    [
      "payment_intent.payment_failed",
      { id: "pi_1", status: "requires_payment_method", last_payment_error: { decline_code: "lost_card" } },
      { _tag: "Charge", reference: "pi_1", status: { _tag: "Declined", code: "lost_card" } }
    ],
    [
      "payment_intent.canceled",
      { id: "pi_1", status: "canceled" },
      { _tag: "Charge", reference: "pi_1", status: { _tag: "Cancelled" } }
    ],
    [
      "charge.refunded",
      { payment_intent: "pi_1", refunded: true },
      { _tag: "Charge", reference: "pi_1", status: { _tag: "Refunded" } }
    ],
    [
      "charge.refunded",
      { payment_intent: "pi_1", refunded: false },
      { _tag: "Charge", reference: "pi_1", status: { _tag: "Charged" } }
    ],
    ["charge.refunded", { payment_intent: null, refunded: true }, undefined],
    ...(["refund.failed", "refund.updated", "charge.refund.updated"] as const).map(
      (type) =>
        [
          type,
          { id: "re_1", payment_intent: "pi_1", status: "failed", failure_reason: "lost_or_stolen_card" },
          { _tag: "Refund", reference: "pi_1", refund: "re_1", isFailed: true }
        ] as const
    ),
    [
      "refund.updated",
      { id: "re_1", payment_intent: { id: "pi_1" }, status: "succeeded" },
      { _tag: "Refund", reference: "pi_1", refund: "re_1", isFailed: false }
    ],
    ["refund.failed", { id: "re_1", payment_intent: null, status: "failed" }, undefined],
    ["payment_intent.created", { id: "pi_1", status: "requires_confirmation" }, undefined],
    ["customer.created", { id: "cus_1" }, undefined],
    ["an.event.of.next.year", {}, undefined]
  ])("of the type %s about %j says %j", ([type, object, told]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* read(signed(eventOf(type, object), secret, now)), told)
    })
  )

  it.effect.prop(
    "is refused when a byte of its body is another",
    { position: positions, change: changes },
    ({ change, position }) =>
      Effect.gen(function* () {
        const { body, signature } = signed(succeeded, secret, now)
        assert.isTrue(yield* isRefused({ body: flipped(body, position, change), signature }))
      }),
    many
  )

  it.effect.prop(
    "is refused when a byte of its signature is another",
    { position: positions, change: changes },
    ({ change, position }) =>
      Effect.gen(function* () {
        const { body, signature } = signed(succeeded, secret, now)
        const bytes = flipped(new TextEncoder().encode(signature), position, change)
        assert.isTrue(yield* isRefused({ body, signature: new TextDecoder("latin1").decode(bytes) }))
      }),
    many
  )

  it.effect.prop(
    "is taken for five minutes, and refused afterwards",
    { age: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 600 })) },
    ({ age }) =>
      Effect.gen(function* () {
        const notice = signed(succeeded, secret, now - age * 1000)
        assert.strictEqual(yield* isRefused(notice), age > 300)
      }),
    many
  )

  it.effect("is taken with the old secret and with the new one while one takes the other's place", () =>
    Effect.gen(function* () {
      for (const one of ["whsec_of_yesterday", secret]) {
        assert.isFalse(yield* isRefused(signed(succeeded, one, now), ["whsec_of_yesterday", secret]))
      }
      assert.isTrue(yield* isRefused(signed(succeeded, "whsec_of_mallory", now), ["whsec_of_yesterday", secret]))
    })
  )

  it.effect("is refused without a signature, empty, and where it is no text; nothing of it is told", () =>
    Effect.gen(function* () {
      const { body, signature } = signed(succeeded, secret, now)
      assert.isTrue(yield* isRefused({ body }))
      assert.isTrue(yield* isRefused({ body: new Uint8Array(), signature }))
      assert.isTrue(yield* isRefused({ body: Uint8Array.of(0xff, ...body), signature }))
      const refusal = yield* Effect.flip(read(signed(succeeded, secret, now - 6 * minute)))
      assert.notInclude(JSON.stringify(refusal), "pi_1")
      assert.notInclude(JSON.stringify(refusal), secret)
    })
  )
})
