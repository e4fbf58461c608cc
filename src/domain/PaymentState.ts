/** How a payment stands: what its history comes to, and where it can go from each status. */
import type { PaymentEvent, Step } from "./PaymentEvent.ts"

/** Where a payment can go from each status. */
export const transitions = {
  requested: ["processing", "failed"],
  processing: ["in_doubt", "succeeded", "failed", "compensating"],
  in_doubt: ["processing", "failed", "compensating"],
  succeeded: ["compensating"],
  failed: [],
  compensating: ["failed", "compensated"],
  compensated: ["compensating"]
} as const satisfies Readonly<Record<string, ReadonlyArray<string>>>
export type Status = keyof typeof transitions

/** What its history comes to. */
export interface PaymentState {
  readonly status: Status
  /** In minor units. */
  readonly amount: bigint
  readonly currency: string
  readonly paymentMethod: string
  readonly orderId: string
  /** Steps that are finished and not undone. */
  readonly finished: ReadonlyArray<Step>
  /** The provider's name for the charge. */
  readonly reference: string | undefined
  /** Whether the money was taken, given back since or not. */
  readonly wasCharged: boolean
  /** Why it failed, or is undone. */
  readonly failure: string | undefined
  /** Why nobody takes its command any more. */
  readonly setAside: string | undefined
  /** Why nobody takes it up any more until an operator says so. */
  readonly quarantine: string | undefined
  /** Whether it waits for somebody to ask for its compensation. */
  readonly isCompensationRequired: boolean
  /** Whether the provider is at the refund. */
  readonly isRefundPending: boolean
  /** Why each refund failed that came to nothing. */
  readonly refundFailures: ReadonlyArray<string>
  /** The provider's names of refunds that were doubted. */
  readonly doubtedRefunds: ReadonlyArray<string>
}

/** Whether nothing will happen to it any more by itself. */
export const isFinal = ({ status }: Pick<PaymentState, "status">): boolean =>
  status === "succeeded" || status === "failed" || status === "compensated"

/** The first state of a payment. */
export const requested = (event: Extract<PaymentEvent, { readonly _tag: "Requested" }>): PaymentState => ({
  status: "requested",
  amount: event.amount,
  currency: event.currency,
  paymentMethod: event.paymentMethod,
  orderId: event.orderId,
  finished: [],
  reference: undefined,
  wasCharged: false,
  failure: undefined,
  setAside: undefined,
  quarantine: undefined,
  isCompensationRequired: false,
  isRefundPending: false,
  refundFailures: [],
  doubtedRefunds: []
})

/** The state after an event. */
export const evolve = (state: PaymentState, event: PaymentEvent): PaymentState => {
  switch (event._tag) {
    case "Requested":
      return requested(event)
    case "Begun":
      return { ...state, status: "processing" }
    case "ChargePrepared":
      return { ...state, reference: event.reference }
    case "StepFinished":
      return {
        ...state,
        status: "processing",
        finished: [...state.finished, event.step],
        wasCharged: state.wasCharged || event.step === "charge"
      }
    case "Doubted":
      return { ...state, status: "in_doubt" }
    case "CommandSetAside":
      return { ...state, setAside: event.reason }
    case "Quarantined":
      return { ...state, quarantine: event.reason }
    case "QuarantineLifted":
      return { ...state, quarantine: undefined }
    case "CompensationBegun":
      return { ...state, status: "compensating", failure: event.reason }
    case "CompensationRequired":
      return { ...state, isCompensationRequired: true }
    case "CompensationResumed":
      return { ...state, isCompensationRequired: false }
    case "RefundPending":
      return { ...state, isRefundPending: true }
    // What was undone after it is undone once more, which changes nothing.
    case "RefundDoubted":
      return {
        ...state,
        status: "compensating",
        finished: ["reserve", "charge"],
        isRefundPending: true,
        doubtedRefunds: [...state.doubtedRefunds, event.refund]
      }
    case "RefundFailed":
      return {
        ...state,
        isCompensationRequired: true,
        isRefundPending: false,
        refundFailures: [...state.refundFailures, event.reason]
      }
    case "StepUndone":
      return { ...state, isRefundPending: false, finished: state.finished.filter((step) => step !== event.step) }
    case "Succeeded":
      return { ...state, status: "succeeded", quarantine: undefined }
    case "Failed":
      return { ...state, status: "failed", failure: event.reason, quarantine: undefined }
    case "Compensated":
      return { ...state, status: "compensated", quarantine: undefined }
  }
}

/** The state that a history comes to; `undefined` without its beginning. */
export const stateOf = (history: ReadonlyArray<PaymentEvent>): PaymentState | undefined => {
  const [first, ...rest] = history
  return first?._tag === "Requested" ? rest.reduce(evolve, requested(first)) : undefined
}
