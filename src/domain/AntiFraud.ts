/** Whether a payment may go on: a rule that a person can read, and that depends on the payment alone. */
import type { PaymentRequested } from "./PixEvent.ts"

/** What is refused whatever else a payment says. */
export interface AntiFraudLimits {
  /** In minor units; payments above it are refused. */
  readonly largestAmount: bigint
}

/** The rule's answer. */
export type Judgement = { readonly status: "validated" } | { readonly status: "refused"; readonly reason: string }

const refused = (reason: string): Judgement => ({ status: "refused", reason })

const isSame = (one: string, other: string): boolean => one.trim().toLowerCase() === other.trim().toLowerCase()

/** Refuses payments to oneself (a way to launder limits and bonuses) and those above the limit. */
export const judge = (payment: PaymentRequested, limits: AntiFraudLimits): Judgement => {
  if (isSame(payment.payer, payment.receiver)) return refused("payer and receiver are the same")
  if (payment.amount > limits.largestAmount) return refused("the amount is above the limit")
  return { status: "validated" }
}
