/** What the state of a PaymentIntent of Stripe's means for a charge, and that of its refunds for giving it back. */
import type Stripe from "stripe"
import type { ChargeStatus, RefundStatus } from "../../domain/ports/PaymentGateway.ts"

/** What a decline is called that needs the payer, whom nobody can ask here. */
export const needsPayer = "authentication_required"

/** The parts of a PaymentIntent that are looked at. */
export type Intent = Pick<Stripe.PaymentIntent, "status" | "last_payment_error" | "latest_charge">

/** The most exact code that Stripe gives for a decline. */
export const declineCodeOf = (error: { readonly decline_code?: string; readonly code?: string }): string =>
  error.decline_code || error.code || "card_declined"

const isRefunded = ({ latest_charge }: Intent): boolean =>
  typeof latest_charge === "object" && latest_charge !== null && latest_charge.refunded

/**
 * A charge that waits for its payer's action is pending: it can become anything. One that waits for its capture, too:
 * ours never do, unless somebody made it so by hand.
 */
export const statusOf = (intent: Intent): ChargeStatus => {
  switch (intent.status) {
    case "succeeded":
      return { _tag: isRefunded(intent) ? "Refunded" : "Charged" }
    case "canceled":
      return { _tag: "Cancelled" }
    case "requires_confirmation":
      return { _tag: "Unconfirmed" }
    case "requires_payment_method":
      return intent.last_payment_error
        ? { _tag: "Declined", code: declineCodeOf(intent.last_payment_error) }
        : { _tag: "Unconfirmed" }
    default:
      return { _tag: "Pending" }
  }
}

/** The parts of a refund that are looked at. */
export type Refund = Pick<Stripe.Refund, "amount" | "status" | "failure_reason">

/** Whether the money of a refund stays here. */
export const isRefundFailed = ({ status }: Pick<Refund, "status">): boolean =>
  status === "failed" || status === "canceled"

/** How one refund stands. One that waits for the payer's account, or for Stripe, is pending. */
export const statusOfRefund = (refund: Refund): RefundStatus => {
  if (refund.status === "succeeded") return { _tag: "Refunded" }
  return isRefundFailed(refund)
    ? { _tag: "Failed", code: refund.failure_reason ?? `refund_${refund.status}` }
    : { _tag: "Pending" }
}

const sum = (refunds: ReadonlyArray<Refund>): number => refunds.reduce((total, { amount }) => total + amount, 0)

/**
 * What all refunds of a charge, latest first, come to for an amount as Stripe counts it; several make up the whole where
 * somebody has given back a part by hand. A failure is that of an earlier attempt where there are fewer of them than
 * attempts: then nothing is known of this one.
 */
export const statusOfRefunds = (
  refunds: ReadonlyArray<Refund>,
  { amount, attempt }: { readonly amount: number; readonly attempt: number }
): RefundStatus | undefined => {
  const alive = refunds.filter((refund) => !isRefundFailed(refund))
  const failed = refunds.filter(isRefundFailed)
  if (alive.length > 0 && sum(alive) >= amount) {
    return { _tag: alive.every(({ status }) => status === "succeeded") ? "Refunded" : "Pending" }
  }
  const [latest] = failed
  return latest !== undefined && failed.length >= attempt ? statusOfRefund(latest) : undefined
}
