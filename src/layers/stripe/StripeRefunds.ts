/**
 * Refunds at Stripe: asked for under a key of each attempt, and looked at among all refunds of the charge.
 *
 * An answer that Stripe has kept under the key tells how the refund stood when it was made, and a refund that has
 * succeeded may fail weeks later: so it is believed only when it is new.
 */
import { Effect, Predicate } from "effect"
import type Stripe from "stripe"
import type { PaymentGateway, RefundAttempt, RefundStatus } from "../../domain/ports/PaymentGateway.ts"
import { amountOf } from "./StripeAmount.ts"
import { other, type StripeFailure } from "./StripeFailure.ts"
import { errorOf, isKept, keyed, type Request, request, unknown } from "./StripeRequest.ts"
import { statusOfRefund, statusOfRefunds } from "./StripeStatus.ts"

/** All that Stripe gives at once; a charge has one, or a few. */
const mostRefunds = 100

const nameOf = ({ attempt, paymentId }: RefundAttempt): string =>
  attempt === 1 ? `${paymentId}/refund` : `${paymentId}/refund-${attempt}`

/** On `fetch`, the library's headers are those of `fetch`, whatever its types say. */
const isReplayed = ({ lastResponse }: Stripe.Response<Stripe.Refund>): boolean =>
  new Headers(lastResponse.headers).get("idempotent-replayed") === "true"

/** Refunding, and looking at refunds. */
export const makeRefunding = ({ refunds }: Stripe): Pick<PaymentGateway["Service"], "refund" | "retrieveRefund"> => {
  const look = Effect.fnUntraced(function* (asked: RefundAttempt) {
    const amount = yield* Effect.mapError(Effect.fromResult(amountOf(asked.amount, asked.currency)), other)
    const { data } = yield* request(() => refunds.list({ payment_intent: asked.reference, limit: mostRefunds }))
    return statusOfRefunds(data, { amount, attempt: asked.attempt })
  })
  /** How it stands by Stripe's own list, where an answer does not say; the failure where nothing is there. */
  const lookAfter = (asked: RefundAttempt, failure: StripeFailure): Request<RefundStatus> =>
    Effect.filterOrFail(look(asked), Predicate.isNotUndefined, () => failure)

  const ofAnswer = (asked: RefundAttempt) => (refund: Stripe.Response<Stripe.Refund>) =>
    isReplayed(refund)
      ? Effect.map(look(asked), (status) => status ?? statusOfRefund(refund))
      : Effect.succeed(statusOfRefund(refund))

  const refund = (asked: RefundAttempt) => {
    const params = { payment_intent: asked.reference, metadata: { payment_id: asked.paymentId } }
    return keyed(nameOf(asked), (options) => refunds.create(params, options)).pipe(
      // What stood in its way may be mended by now, and the key would give the old answer for a day. All of the money
      // goes back once, with a key or without.
      Effect.catchIf(isKept, () => request(() => refunds.create(params))),
      Effect.flatMap(ofAnswer(asked)),
      Effect.catchTags({
        RefundedBefore: (before) => lookAfter(asked, before),
        Broken: (broken) =>
          Effect.mapError(lookAfter(asked, broken), (failure) => (failure === broken ? broken : other(unknown(broken))))
      }),
      Effect.mapError(errorOf)
    )
  }
  return { refund, retrieveRefund: (asked) => Effect.mapError(look(asked), errorOf) }
}
