/** What went wrong with a request to Stripe, and what that says of its effect. */
import { Data, Predicate } from "effect"
import Stripe from "stripe"
import {
  GatewayAway,
  GatewayError,
  GatewayRefused,
  GatewayUnanswered,
  GatewayUnauthorized
} from "../../domain/ports/PaymentGateway.ts"
import { declineCodeOf } from "./StripeStatus.ts"

/** Nothing was sent: there was nobody to send it to. */
export class NothingSent extends Data.TaggedError("NothingSent")<{ readonly code: string }> {}

export type StripeFailure = Data.TaggedEnum<{
  /** The payer's bank or Stripe itself says no to this charge. */
  Declined: { readonly code: string }
  /** What is asked for does not fit the state of the PaymentIntent, so that one has to look at it. */
  OtherState: Record<never, never>
  /** All of the money went back before. */
  RefundedBefore: Record<never, never>
  /** A 5xx: whether it had an effect is not known. Kept: Stripe has stored this answer, and gives it again. */
  Broken: { readonly detail: string; readonly retryAfterMillis: number | undefined; readonly isKept: boolean }
  Other: { readonly error: GatewayError; readonly isKept: boolean }
}>

export const StripeFailure = Data.taggedEnum<StripeFailure>()

/** Of an answer that was given now. */
export const other = (error: GatewayError): StripeFailure => StripeFailure.Other({ error, isKept: false })

const away = (detail: string, retryAfterMillis?: number) =>
  other(new GatewayError({ reason: new GatewayAway({ detail, retryAfterMillis }) }))
const unanswered = (detail: string) => other(new GatewayError({ reason: new GatewayUnanswered({ detail }) }))
const unauthorized = (detail: string) => other(new GatewayError({ reason: new GatewayUnauthorized({ detail }) }))
const refused = (detail: string) => other(new GatewayError({ reason: new GatewayRefused({ detail }) }))

const headerOf = ({ headers }: Stripe.errors.StripeError, name: string): string | undefined => headers?.[name]

const retryAfterOf = (error: Stripe.errors.StripeError): number | undefined => {
  const seconds = headerOf(error, "retry-after")
  return seconds !== undefined && /^\d{1,6}(\.\d+)?$/.test(seconds) ? Math.ceil(Number(seconds) * 1000) : undefined
}

/** Codes and names only: Stripe's own sentences may quote what was sent. */
const detailOf = (error: Stripe.errors.StripeError): string => {
  const parts = [error.statusCode, error.code, error.param && `at ${error.param}`, error.requestId]
  return `Stripe: ${parts.filter(Predicate.isTruthy).join(" ")}`
}

// Nobody knows whether such a request was heard.
const ofConnection = ({ detail }: Stripe.errors.StripeConnectionError): StripeFailure =>
  (detail as unknown) instanceof NothingSent
    ? away(`Stripe cannot be reached: ${(detail as unknown as NothingSent).code}`)
    : unanswered("Stripe: no answer within GATEWAY_TIMEOUT_SECONDS, or a broken connection")

const ofStatus = (error: Stripe.errors.StripeError): StripeFailure => {
  const detail = detailOf(error)
  switch (error.statusCode) {
    case 402:
      return StripeFailure.Declined({ code: declineCodeOf(error) })
    case 409:
      // the same request is under way by somebody else
      return unanswered(detail)
    case 429:
      return away(detail, retryAfterOf(error))
    case 401:
    case 403:
      return unauthorized(`${detail}: STRIPE_API_KEY is refused; give it one that may write PaymentIntents and refunds`)
    case 504:
      return unanswered(detail)
    default:
      return refused(detail)
  }
}

const ofCode = ({ code }: Stripe.errors.StripeError): StripeFailure | undefined => {
  switch (code) {
    case "payment_intent_unexpected_state":
      return StripeFailure.OtherState()
    case "charge_already_refunded":
      return StripeFailure.RefundedBefore()
    default:
      return undefined
  }
}

const isServers = ({ statusCode }: Stripe.errors.StripeError): boolean => (statusCode ?? 0) >= 500 && statusCode !== 504

/** Of whatever the library threw. */
export const failureOf = (cause: unknown): StripeFailure => {
  if (cause instanceof Stripe.errors.StripeConnectionError) return ofConnection(cause)
  if (!(cause instanceof Stripe.errors.StripeError) || cause.statusCode === undefined) {
    return unanswered("Stripe: an answer that is not Stripe's")
  }
  const isKept = headerOf(cause, "idempotent-replayed") === "true"
  if (isServers(cause)) {
    return StripeFailure.Broken({ detail: detailOf(cause), retryAfterMillis: retryAfterOf(cause), isKept })
  }
  const failure = ofCode(cause) ?? ofStatus(cause)
  return failure._tag === "Other" ? { ...failure, isKept } : failure
}
