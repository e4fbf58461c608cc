/**
 * A payment provider to try things with: it takes no money, and answers by the payment method. A pure decision, so that
 * the one in memory and the one on PostgreSQL are the same.
 */
import { Result } from "effect"
import {
  type ChargeStatus,
  GatewayAway,
  GatewayError,
  GatewayRefused,
  GatewayUnanswered,
  type RefundStatus
} from "./ports/PaymentGateway.ts"

/** A charge as the sandbox keeps it. */
export interface SandboxCharge {
  readonly status: Exclude<ChargeStatus["_tag"], "Pending"> | "RefundPending" | "RefundFailed"
  /** How often it was told to take the money. */
  readonly attempts: number
}

/** What becomes of a charge, and what whoever asked gets to hear. */
export interface SandboxAnswer<A = ChargeStatus> {
  readonly charge: SandboxCharge
  readonly heard: Result.Result<A, GatewayError>
}

/** What it does when it is told to take the money. */
type Behaviour = "charge" | "decline" | "be away" | "be lost" | "charge and be lost"

const behaviours: Readonly<Record<string, (attempt: number) => Behaviour>> = {
  pm_card_visa: () => "charge",
  pm_card_chargeDeclined: () => "decline",
  sandbox_timeout: () => "be lost",
  sandbox_timeout_charged: () => "charge and be lost",
  sandbox_error: () => "be away",
  sandbox_twice: (attempt) => (attempt <= 2 ? "be away" : "charge"),
  sandbox_refund_pending: () => "charge",
  sandbox_refund_fails: () => "charge"
}

/** What comes of a refund that is under way, when it is looked at. */
const refundEnds: Readonly<Record<string, "Refunded" | "RefundFailed">> = {
  sandbox_refund_pending: "Refunded",
  sandbox_refund_fails: "RefundFailed"
}

const refused = (detail: string) => new GatewayError({ reason: new GatewayRefused({ detail }) })

const away = new GatewayError({
  reason: new GatewayAway({ detail: "the sandbox is away (503)", retryAfterMillis: undefined })
})

const lost = new GatewayError({
  reason: new GatewayUnanswered({ detail: "the sandbox did not answer within the time" })
})

const methods = Object.keys(behaviours).join(", ")

/** The start of every charge. */
export const unconfirmed: SandboxCharge = { status: "Unconfirmed", attempts: 0 }

/** The sandbox's name for the charge of a payment. */
export const referenceOf = (paymentId: string): string => `sandbox_${paymentId}`

/** Of a reference that it never gave. */
export const unknownReference = refused("the sandbox has no such charge (404)")

/** A charge of this payment method as it begins; a refusal of a method that the sandbox does not know. */
export const prepared = (paymentMethod: string): Result.Result<SandboxCharge, GatewayError> =>
  Object.hasOwn(behaviours, paymentMethod)
    ? Result.succeed(unconfirmed)
    : Result.fail(refused(`the sandbox does not know this payment method (400); it takes ${methods}`))

const statusOf = ({ status }: SandboxCharge): ChargeStatus => {
  if (status === "Declined") return { _tag: status, code: "card_declined" }
  return { _tag: status === "RefundPending" || status === "RefundFailed" ? "Charged" : status }
}

const answered = (charge: SandboxCharge): SandboxAnswer => ({ charge, heard: Result.succeed(statusOf(charge)) })

/** How it stands. */
export const look = ({ attempts, status }: SandboxCharge): SandboxAnswer => answered({ attempts, status })

/** Takes the money, or does whatever else the payment method stands for; what has ended stays as it is. */
export const confirm = (paymentMethod: string, charge: SandboxCharge): SandboxAnswer => {
  if (charge.status !== "Unconfirmed") return answered(charge)
  const attempts = charge.attempts + 1
  switch (behaviours[paymentMethod]?.(attempts)) {
    case "charge":
      return answered({ status: "Charged", attempts })
    case "charge and be lost":
      return { charge: { status: "Charged", attempts }, heard: Result.fail(lost) }
    case "decline":
      return answered({ status: "Declined", attempts })
    case "be lost":
      return { charge: { ...charge, attempts }, heard: Result.fail(lost) }
    default:
      return { charge: { ...charge, attempts }, heard: Result.fail(away) }
  }
}

/** No money is taken afterwards, unless it was taken before. */
export const cancel = (charge: SandboxCharge): SandboxAnswer =>
  answered(
    charge.status === "Unconfirmed" || charge.status === "Declined" ? { ...charge, status: "Cancelled" } : charge
  )

const refundOf = ({ status }: SandboxCharge): RefundStatus | undefined => {
  switch (status) {
    case "Refunded":
      return { _tag: "Refunded" }
    case "RefundPending":
      return { _tag: "Pending" }
    case "RefundFailed":
      return { _tag: "Failed", code: "expired_or_canceled_card" }
    default:
      return undefined
  }
}

const nothingTaken = refused("the sandbox has taken no money that it could give back (400)")

/** Gives the money back, or begins to; a refusal where none was taken. What has failed is begun again by a further attempt. */
export const refund = (paymentMethod: string, attempt: number, charge: SandboxCharge): SandboxAnswer<RefundStatus> => {
  const isAsked = charge.status === "Charged" || (charge.status === "RefundFailed" && attempt > 1)
  const isSlow = charge.status === "Charged" && refundEnds[paymentMethod] !== undefined
  const next: SandboxCharge = isAsked ? { ...charge, status: isSlow ? "RefundPending" : "Refunded" } : charge
  return { charge: next, heard: Result.fromNullishOr(refundOf(next), () => nothingTaken) }
}

/** How a refund stands. What was under way has ended, and is found so at the next look. */
export const lookRefund = (paymentMethod: string, charge: SandboxCharge): SandboxAnswer<RefundStatus | undefined> => {
  const end = charge.status === "RefundPending" ? refundEnds[paymentMethod] : undefined
  return { charge: end === undefined ? charge : { ...charge, status: end }, heard: Result.succeed(refundOf(charge)) }
}
