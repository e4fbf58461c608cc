/** What happens to a payment, as its history keeps it. */
import { Schema } from "effect"
import { Currency } from "./Money.ts"

/** In their order; undone in reverse. */
export const steps = ["reserve", "charge", "confirm"] as const
export type Step = (typeof steps)[number]

const StepName = Schema.Literals(steps)

/** What has happened, as it is stored. Reasons are codes or short texts without anything of the payer's. */
export const PaymentEvent = Schema.TaggedUnion({
  Requested: {
    /** In minor units. */
    amount: Schema.BigIntFromString,
    currency: Currency,
    paymentMethod: Schema.String,
    /** What is paid; the payment itself where nothing else was named. */
    orderId: Schema.String
  },
  Begun: {},
  /** The provider knows of the charge, and has not been told to take the money. */
  ChargePrepared: { reference: Schema.String },
  StepFinished: { step: StepName },
  Doubted: { reason: Schema.String },
  /** Nobody takes its command any more: it is dead, and its payment was not given up then. */
  CommandSetAside: { reason: Schema.String },
  /** Its process has died of it again and again: nobody takes it up until an operator says so. */
  Quarantined: { reason: Schema.String },
  QuarantineLifted: {},
  CompensationBegun: { reason: Schema.String },
  /** Nothing is undone until somebody asks for it. */
  CompensationRequired: {},
  CompensationResumed: {},
  /** The provider has taken the refund on: the money is under way. */
  RefundPending: {},
  /** The provider says that this refund of its came to nothing, which was said to be done before. */
  RefundDoubted: { refund: Schema.String },
  /** The money has not gone back, and does not go by itself. */
  RefundFailed: { reason: Schema.String },
  StepUndone: { step: StepName },
  Succeeded: {},
  Failed: { reason: Schema.String },
  Compensated: {}
})
export type PaymentEvent = typeof PaymentEvent.Type
