/** Payments as the API shows them: what is known of them, and nothing of the payer's beyond what was sent. */
import { DateTime } from "effect"
import { textOf } from "../../domain/Money.ts"
import type { PaymentEvent } from "../../domain/PaymentEvent.ts"
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
  ...(state.isCompensationRequired ? { compensationRequired: true } : {})
})

const isoOf = (millis: number): string => DateTime.formatIso(DateTime.makeUnsafe(millis))

/** `StepFinished` is `step_finished`. */
const nameOf = ({ _tag }: PaymentEvent): string =>
  _tag.replaceAll(/(?<=.)[A-Z]/g, (letter) => `_${letter}`).toLowerCase()

const stepOf = ({ atMillis, event }: PaymentStep): PaymentHistory["history"][number] => ({
  event: nameOf(event),
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
