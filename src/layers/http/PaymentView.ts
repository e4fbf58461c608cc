/** Payments as the API shows them: what is known of them, and nothing of the payer's beyond what was sent. */
import { isoOf } from "../../domain/Instant.ts"
import { textOf } from "../../domain/Money.ts"
import { eventName } from "../../domain/PaymentHistory.ts"
import { type PaymentState, stateOf } from "../../domain/PaymentState.ts"
import type { PaymentStep } from "../../domain/ports/PaymentIntents.ts"
import type { PaymentHistory, PaymentTaken } from "./PaymentsApi.ts"

/** A payment without its history. */
export const taken = (id: string, state: PaymentState): PaymentTaken => ({
  id,
  status: state.status,
  amount: textOf(state.amount),
  currency: state.currency,
  paymentMethod: state.paymentMethod,
  orderId: state.orderId,
  ...(state.reference === undefined ? {} : { reference: state.reference }),
  ...(state.failure === undefined ? {} : { failure: state.failure }),
  ...(state.isCompensationRequired ? { compensationRequired: true } : {}),
  ...(state.quarantine === undefined ? {} : { quarantine: state.quarantine })
})

const stepOf = ({ atMillis, event }: PaymentStep): PaymentHistory["history"][number] => ({
  event: eventName(event),
  at: isoOf(atMillis),
  ...("step" in event ? { step: event.step } : {}),
  ...("reason" in event ? { reason: event.reason } : {})
})

/** A payment by its history; `undefined` where there is none. */
export const ofHistory = (id: string, steps: ReadonlyArray<PaymentStep>): PaymentHistory | undefined => {
  const state = stateOf(steps.map(({ event }) => event))
  const [first, last] = [steps[0], steps.at(-1)]
  if (state === undefined || first === undefined || last === undefined) return undefined
  return {
    ...taken(id, state),
    createdAt: isoOf(first.atMillis),
    updatedAt: isoOf(last.atMillis),
    history: steps.map(stepOf)
  }
}
