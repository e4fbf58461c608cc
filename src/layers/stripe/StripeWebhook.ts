/** Stripe's webhooks: whether one is Stripe's own and fresh, and what it says of a charge or a refund. */
import { Clock, Effect, Layer, Redacted } from "effect"
import Stripe from "stripe"
import { type ChargeNotice, ChargeNotices, NoticeRefused } from "../../domain/ports/ChargeNotices.ts"
import { isRefundFailed, statusOf } from "./StripeStatus.ts"

/** What was kept for longer may be somebody's replay. Stripe signs each try anew. */
const toleranceSeconds = 300

// Strict, so that no other bytes read as the same text, which the signature is about.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const refused = (detail: string) => new NoticeRefused({ detail: `a webhook of Stripe's is refused: ${detail}` })

const referenceOf = (intent: string | { readonly id: string } | null | undefined): string | undefined =>
  typeof intent === "object" ? intent?.id : intent

const ofRefund = ({ id, payment_intent, status }: Stripe.Refund): ChargeNotice | undefined => {
  const reference = referenceOf(payment_intent)
  return reference === undefined
    ? undefined
    : { _tag: "Refund", reference, refund: id, isFailed: isRefundFailed({ status }) }
}

const noticeOf = (event: Stripe.Event): ChargeNotice | undefined => {
  switch (event.type) {
    case "payment_intent.succeeded":
    case "payment_intent.payment_failed":
    case "payment_intent.canceled":
    case "payment_intent.processing":
    case "payment_intent.requires_action":
      return { _tag: "Charge", reference: event.data.object.id, status: statusOf(event.data.object) }
    case "charge.refunded": {
      const { payment_intent, refunded } = event.data.object
      const reference = referenceOf(payment_intent)
      return reference === undefined
        ? undefined
        : { _tag: "Charge", reference, status: { _tag: refunded ? "Refunded" : "Charged" } }
    }
    case "refund.created":
    case "refund.updated":
    case "refund.failed":
    case "charge.refund.updated":
      return ofRefund(event.data.object)
    default:
      return undefined
  }
}

interface Received {
  readonly text: string
  readonly signature: string
  readonly atMillis: number
}

const signatureMismatch = refused("its signature does not fit, or is older than five minutes")

/** Web Crypto, which both runtimes have. */
const verified = (received: Received, secret: Redacted.Redacted) =>
  Effect.tryPromise({
    try: () =>
      Stripe.webhooks.constructEventAsync(
        received.text,
        received.signature,
        Redacted.value(secret),
        toleranceSeconds,
        undefined,
        received.atMillis
      ),
    catch: () => signatureMismatch
  })

const make = (secrets: ReadonlyArray<Redacted.Redacted>): ChargeNotices["Service"] => ({
  read: Effect.fnUntraced(function* (body, signature) {
    if (signature === undefined) return yield* refused("it has no signature")
    const text = yield* Effect.try({ try: () => decoder.decode(body), catch: () => refused("it is no text") })
    const received = { text, signature, atMillis: yield* Clock.currentTimeMillis }
    // While a secret is replaced, either may have signed.
    const event = yield* Effect.firstSuccessOf(secrets.map((secret) => verified(received, secret)))
    return noticeOf(event)
  })
})

/** Takes what was signed with any of these secrets, of which there is at least one. */
export const layer = (secrets: ReadonlyArray<Redacted.Redacted>): Layer.Layer<ChargeNotices> =>
  Layer.sync(ChargeNotices, () => make(secrets))
