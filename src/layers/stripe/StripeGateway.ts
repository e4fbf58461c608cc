/**
 * Stripe as a payment gateway: a PaymentIntent is made unconfirmed, then confirmed.
 *
 * That money is taken once rests on the PaymentIntent, which succeeds once; idempotency keys, made of the payment's id,
 * keep a repeated request from making a second one. A 5xx to a request that moves money says nothing, so the
 * PaymentIntent is looked at before anything is said of the effect.
 */
import { Effect, Layer } from "effect"
import type Stripe from "stripe"
import { type Charge, type ChargeStatus, PaymentGateway } from "../../domain/ports/PaymentGateway.ts"
import { amountOf } from "./StripeAmount.ts"
import * as StripeClient from "./StripeClient.ts"
import { other, type StripeFailure } from "./StripeFailure.ts"
import { makeRefunding } from "./StripeRefunds.ts"
import { errorOf, keyed, type Request, request, unknown } from "./StripeRequest.ts"
import { needsPayer, statusOf } from "./StripeStatus.ts"

const expand = { expand: ["latest_charge"] }

const paramsOf = (
  { currency, paymentId, paymentMethod }: Charge,
  amount: number
): Stripe.PaymentIntentCreateParams => ({
  amount,
  currency: currency.toLowerCase(),
  payment_method: paymentMethod,
  // nobody is there who could be sent to another page
  automatic_payment_methods: { enabled: true, allow_redirects: "never" },
  capture_method: "automatic",
  metadata: { payment_id: paymentId }
})

const makeLooking = ({ paymentIntents }: Stripe) => {
  /** What waits for its payer would wait for ever: it is called off, and counts as declined. */
  const settled = (intent: Stripe.PaymentIntent): Request<ChargeStatus> =>
    intent.status !== "requires_action"
      ? Effect.succeed(statusOf(intent))
      : Effect.map(
          request(() => paymentIntents.cancel(intent.id, expand)),
          (now) => (now.status === "canceled" ? { _tag: "Declined", code: needsPayer } : statusOf(now))
        )

  const look = (reference: string): Request<ChargeStatus> =>
    Effect.flatMap(
      request(() => paymentIntents.retrieve(reference, expand)),
      settled
    )
  /** How a charge stands after a 5xx; if nobody can say, it may have had its effect. */
  const lookAfter = (reference: string, broken: Extract<StripeFailure, { readonly _tag: "Broken" }>) =>
    Effect.mapError(look(reference), () => other(unknown(broken)))

  const orLook = (reference: string) => (changed: Request<Stripe.PaymentIntent>) =>
    changed.pipe(
      Effect.flatMap(settled),
      Effect.catchTag("OtherState", () => look(reference))
    )
  return { look, lookAfter, orLook }
}

const make = (stripe: Stripe): PaymentGateway["Service"] => {
  const { paymentIntents } = stripe
  const { look, lookAfter, orLook } = makeLooking(stripe)

  const prepare = Effect.fnUntraced(function* (charge: Charge) {
    const params = paramsOf(charge, yield* Effect.fromResult(amountOf(charge.amount, charge.currency)))
    const intent = keyed(`${charge.paymentId}/prepare`, (options) => paymentIntents.create(params, options))
    return (yield* Effect.mapError(intent, errorOf)).id
  })

  const confirm: PaymentGateway["Service"]["confirm"] = ({ paymentId, reference }) =>
    keyed(`${paymentId}/confirm`, (options) =>
      paymentIntents.confirm(reference, { error_on_requires_action: true, ...expand }, options)
    ).pipe(
      orLook(reference),
      Effect.catchTags({
        Declined: ({ code }) => Effect.succeed<ChargeStatus>({ _tag: "Declined", code }),
        Broken: (broken) =>
          Effect.filterOrFail(
            lookAfter(reference, broken),
            ({ _tag }) => _tag !== "Unconfirmed",
            () => broken
          )
      }),
      Effect.mapError(errorOf)
    )

  const { refund, retrieveRefund } = makeRefunding(stripe)

  return PaymentGateway.of({
    kind: "stripe",
    prepare,
    confirm,
    retrieve: (reference) => Effect.mapError(look(reference), errorOf),
    cancel: (reference) =>
      request(() => paymentIntents.cancel(reference, expand)).pipe(orLook(reference), Effect.mapError(errorOf)),
    refund,
    retrieveRefund
  })
}

/** Asks for nothing until it is used. */
export const layer = (options: StripeClient.StripeOptions): Layer.Layer<PaymentGateway> =>
  Layer.sync(PaymentGateway, () => make(StripeClient.make(options)))
