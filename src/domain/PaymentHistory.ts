/** What has happened to a payment, in words: for operators and dead letters. Nothing of the payer's. */
import { isoOf } from "./Instant.ts"
import { textOf } from "./Money.ts"
import type { PaymentEvent } from "./PaymentEvent.ts"

/** An event's name for machines: `StepFinished` is `step_finished`. */
export const eventName = ({ _tag }: PaymentEvent): string =>
  _tag.replaceAll(/(?<=.)[A-Z]/g, (letter) => `_${letter}`).toLowerCase()

/** An event in words. */
export const wordsOf = (event: PaymentEvent): string => {
  switch (event._tag) {
    case "Requested":
      return `requested: ${textOf(event.amount)} ${event.currency}`
    case "Begun":
      return "begun"
    case "ChargePrepared":
      return `charge prepared: ${event.reference}`
    case "StepFinished":
      return `${event.step} done`
    case "Doubted":
      return `in doubt: ${event.reason}`
    case "CommandSetAside":
      return `command set aside: ${event.reason}`
    case "Quarantined":
      return `quarantined: ${event.reason}; waits for an operator`
    case "QuarantineLifted":
      return "quarantine lifted by an operator"
    case "CompensationBegun":
      return `compensation begun: ${event.reason}`
    case "CompensationRequired":
      return "compensation waits for an operator"
    case "CompensationResumed":
      return "compensation asked for by an operator"
    case "RefundPending":
      return "refund taken on by the provider"
    case "RefundDoubted":
      return `refund ${event.refund} came to nothing, says the provider: looked at again`
    case "RefundFailed":
      return `refund failed: ${event.reason}; waits for an operator`
    case "StepUndone":
      return `${event.step} undone`
    case "Succeeded":
      return "succeeded"
    case "Failed":
      return `failed: ${event.reason}`
    case "Compensated":
      return "compensated"
  }
}

interface Happened {
  readonly event: PaymentEvent
  readonly atMillis: number
}

/** A history on one line. */
export const historyInWords = (history: ReadonlyArray<Happened>): string =>
  history.map(({ atMillis, event }) => `${isoOf(atMillis)} ${wordsOf(event)}`).join("; ")
