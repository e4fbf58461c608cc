/** One request to Stripe, under a key or without, and what its failure means where there is nothing to look at. */
import { Effect } from "effect"
import type Stripe from "stripe"
import { GatewayAway, GatewayError, GatewayRefused, GatewayUnanswered } from "../../domain/ports/PaymentGateway.ts"
import { failureOf, StripeFailure } from "./StripeFailure.ts"

export type Request<A> = Effect.Effect<A, StripeFailure>

/** Far more keys than a policy of retries will ever use up. */
const mostKeys = 20

/** Sent once. */
export const request = <A>(send: () => Promise<A>): Request<A> => Effect.tryPromise({ try: send, catch: failureOf })

/** Whether Stripe gives this answer again to whoever uses its key again. */
export const isKept = (failure: StripeFailure): boolean => "isKept" in failure && failure.isKept

/** Stripe keeps the answer of a key, even a 5xx: then the next key is used, which is the same for whoever asks. */
export const keyed = <A>(name: string, send: (options: Stripe.RequestOptions) => Promise<A>, nth = 1): Request<A> =>
  request(() => send({ idempotencyKey: nth === 1 ? name : `${name}/${nth}` })).pipe(
    Effect.catchIf(
      (failure) => failure._tag === "Broken" && failure.isKept && nth < mostKeys,
      () => keyed(name, send, nth + 1)
    )
  )

const away = ({ detail, retryAfterMillis }: Extract<StripeFailure, { readonly _tag: "Broken" }>) =>
  new GatewayError({ reason: new GatewayAway({ detail, retryAfterMillis }) })

const refusal = (detail: string) => new GatewayError({ reason: new GatewayRefused({ detail }) })

/** Whether it had its effect, nobody can say. */
export const unknown = ({ detail }: { readonly detail: string }) =>
  new GatewayError({ reason: new GatewayUnanswered({ detail }) })

/** Of a request after which there is nothing to look at. */
export const errorOf: (failure: StripeFailure) => GatewayError = StripeFailure.$match({
  Declined: ({ code }) => refusal(`Stripe: 402 ${code}`),
  OtherState: () => refusal("Stripe: the PaymentIntent is not in a state for this"),
  RefundedBefore: () => refusal("Stripe: the money went back before"),
  Broken: away,
  Other: ({ error }) => error
})
