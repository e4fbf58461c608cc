/** Requests for card payments, for demonstrations: most are charged, some are declined or go through trouble. */
import { samplePayment } from "./SamplePayment.ts"

/** What the sandbox answers to, in turn: of twenty, three are declined, and each kind of trouble comes once. */
const methods = [
  "pm_card_visa",
  "pm_card_visa",
  "pm_card_visa",
  "pm_card_chargeDeclined",
  "pm_card_visa",
  "pm_card_visa",
  "sandbox_twice",
  "pm_card_visa",
  "pm_card_visa",
  "pm_card_chargeDeclined",
  "pm_card_visa",
  "pm_card_visa",
  "sandbox_timeout_charged",
  "pm_card_visa",
  "pm_card_visa",
  "pm_card_chargeDeclined",
  "sandbox_timeout",
  "pm_card_visa",
  "pm_card_visa",
  "pm_card_visa"
] as const

/** The request of a number, from 0, as JSON. */
export const sampleIntent = (number: number): string =>
  JSON.stringify({
    amount: samplePayment(number).amount,
    currency: "BRL",
    paymentMethod: methods[number % methods.length] ?? methods[0]
  })
