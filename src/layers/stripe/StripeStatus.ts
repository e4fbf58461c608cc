/** What the state of a PaymentIntent of Stripe's means for a charge. */
import type Stripe from "stripe"
import type { ChargeStatus } from "../../domain/ports/PaymentGateway.ts"

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
