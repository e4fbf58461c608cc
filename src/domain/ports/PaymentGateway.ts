/**
 * Who takes the money: a payment provider.
 *
 * ## Guarantees
 * - `prepare` takes no money. For one payment it gives the same reference, however often it is asked.
 * - `confirm` and `refund` take and give back the money of a reference once, however often they are asked.
 * - A refund is `Refunded` when the money is back as far as the provider knows. It may still come to nothing later: then
 *   the provider tells so (`ChargeNotices`), and `retrieveRefund` says it.
 * - Declined is an answer, not an error.
 * - `GatewayUnanswered` says that the request may have had its effect; every other error, that it had none.
 * - `GatewayUnauthorized` concerns no payment, but whoever asks: nothing is known of what would have been answered.
 * - What is `cancelled` is never charged afterwards, also not by a request that was on its way.
 *
 * ## Assumptions
 * - Payment ids are never used again for another payment.
 */
import { Context, type Effect, Schema } from "effect"

/** What is to be charged. */
export interface Charge {
  readonly paymentId: string
  /** In minor units. */
  readonly amount: bigint
  readonly currency: string
  readonly paymentMethod: string
}

/** A charge that was prepared. */
export interface PreparedCharge extends Charge {
  /** The provider's name for it. */
  readonly reference: string
}

/** How the provider sees a charge. */
export type ChargeStatus =
  | { readonly _tag: "Charged" }
  /** The provider's code: no text of the payer's. */
  | { readonly _tag: "Declined"; readonly code: string }
  /** The provider is still at it. */
  | { readonly _tag: "Pending" }
  /** Nobody has told it to take the money. */
  | { readonly _tag: "Unconfirmed" }
  | { readonly _tag: "Cancelled" }
  | { readonly _tag: "Refunded" }

/** A refund that is asked for, or looked at. */
export interface RefundAttempt extends PreparedCharge {
  /** 1 for the first; a further one is asked for only when the one before has come to nothing. */
  readonly attempt: number
}

/** How the provider sees a refund. */
export type RefundStatus =
  | { readonly _tag: "Refunded" }
  /** Taken on: the money is on its way, and may come back. */
  | { readonly _tag: "Pending" }
  /** The money has not gone back; with the provider's code. */
  | { readonly _tag: "Failed"; readonly code: string }

/** Away, overloaded or limiting us: the request had no effect, and may be tried again. */
export class GatewayAway extends Schema.TaggedError<GatewayAway>()("GatewayAway", {
  detail: Schema.String,
  /** When it asked to be tried again, if it did. */
  retryAfterMillis: Schema.UndefinedOr(Schema.Finite)
}) {}

/** No answer within the time: the request may have had its effect. */
export class GatewayUnanswered extends Schema.TaggedError<GatewayUnanswered>()("GatewayUnanswered", {
  detail: Schema.String
}) {}

/** Does not let us in: the credentials are wrong, or may not do this. It is no payment's fault, and nothing that waiting mends. */
export class GatewayUnauthorized extends Schema.TaggedError<GatewayUnauthorized>()("GatewayUnauthorized", {
  detail: Schema.String
}) {}

/** Says no to the request itself (parameters): trying again will not help. */
export class GatewayRefused extends Schema.TaggedError<GatewayRefused>()("GatewayRefused", { detail: Schema.String }) {}

/** What can go wrong at a provider; details name status and code, never what was sent. */
export class GatewayError extends Schema.TaggedError<GatewayError>()("GatewayError", {
  reason: Schema.Union([GatewayAway, GatewayUnanswered, GatewayUnauthorized, GatewayRefused])
}) {
  get isRetryable(): boolean {
    return this.reason._tag === "GatewayAway" || this.reason._tag === "GatewayUnanswered"
  }
  get isUnauthorized(): boolean {
    return this.reason._tag === "GatewayUnauthorized"
  }
  override get message(): string {
    return this.reason.detail
  }
}

export class PaymentGateway extends Context.Service<
  PaymentGateway,
  {
    /** The provider, as `PAYMENT_GATEWAY` names it. */
    readonly kind: string
    /** Makes a charge known to the provider, and gives its reference. */
    readonly prepare: (charge: Charge) => Effect.Effect<string, GatewayError>
    /** Takes the money. */
    readonly confirm: (charge: PreparedCharge) => Effect.Effect<ChargeStatus, GatewayError>
    readonly retrieve: (reference: string) => Effect.Effect<ChargeStatus, GatewayError>
    /** Sees to it that an unconfirmed charge never takes money; gives how it stands then, which may be `Charged`. */
    readonly cancel: (reference: string) => Effect.Effect<ChargeStatus, GatewayError>
    /** Gives all of the money back, or begins to. */
    readonly refund: (refund: RefundAttempt) => Effect.Effect<RefundStatus, GatewayError>
    /** How a refund stands that was asked for; `undefined` where the provider knows of none. */
    readonly retrieveRefund: (refund: RefundAttempt) => Effect.Effect<RefundStatus | undefined, GatewayError>
  }
>()("paystream/domain/ports/PaymentGateway") {}
