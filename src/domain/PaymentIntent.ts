/**
 * What may happen to a payment next, and what is to be done, from its being asked for to its end.
 *
 * It is taken in three steps: the order is reserved, which begins it, the money is charged, the order is confirmed. When a
 * step fails for good, those that are finished are undone in reverse: a payment whose money had moved ends `compensated`,
 * any other `failed`. A charge that was sent and not answered is `in_doubt` until the provider says what became of it. A
 * refund that the provider has only taken on leaves the payment `compensating` until the money is back; one that came to
 * nothing, even after it was said to be done, makes it wait for an operator; so does a payment that its process has died of
 * again and again.
 */
import { Result, Schema } from "effect"
import { type PaymentEvent, type Step, steps } from "./PaymentEvent.ts"
import { isFinal, type PaymentState } from "./PaymentState.ts"

export type PaymentCommand =
  | { readonly _tag: "AwaitRefund" | "RequireCompensation" | "ResumeCompensation" | "LiftQuarantine" }
  | { readonly _tag: "PrepareCharge"; readonly reference: string }
  | { readonly _tag: "FinishStep" | "UndoStep"; readonly step: Step }
  /** A charge was sent, and nobody knows what became of it. */
  | { readonly _tag: "Doubt"; readonly reason: string }
  /** A step failed for good, and changed nothing. */
  | { readonly _tag: "Fail"; readonly reason: string }
  | { readonly _tag: "Refund"; readonly reason: string }
  /** Its command is taken by nobody any more. */
  | { readonly _tag: "SetAside"; readonly reason: string }
  /** Whoever takes it up dies of it. */
  | { readonly _tag: "Quarantine"; readonly reason: string }
  /** A refund came to nothing. */
  | { readonly _tag: "FailRefund"; readonly reason: string }
  /** The provider tells of a refund of its that came to nothing, after all. */
  | { readonly _tag: "DoubtRefund"; readonly refund: string }

/** The command does not fit the payment as it is. */
export class IllegalTransition extends Schema.TaggedError<IllegalTransition>()("IllegalTransition", {
  status: Schema.String,
  command: Schema.String
}) {
  override get message(): string {
    return `a payment that is ${this.status} cannot take the command ${this.command}`
  }
}

/** What is to be done next for a payment. */
export type Next =
  | { readonly _tag: "Do" | "Undo"; readonly step: Step }
  | { readonly _tag: "ResolveDoubt" | "ResolveRefund" | "Nothing" }

/** Whether its steps are taken, one after the other. */
const isGoingOn = ({ status }: PaymentState): boolean => status === "requested" || status === "processing"

/** The next thing to do. */
export const next = (state: PaymentState): Next =>
  state.quarantine === undefined ? following(state) : { _tag: "Nothing" }

/** What would be done next if somebody took it up: a provider tells of it all the same. */
const following = (state: PaymentState): Next => {
  if (state.status === "in_doubt") return { _tag: "ResolveDoubt" }
  if (isGoingOn(state)) {
    const step = steps[state.finished.length]
    return step === undefined ? { _tag: "Nothing" } : { _tag: "Do", step }
  }
  const last = state.finished.at(-1)
  const isUndone = state.status === "compensating" && !state.isCompensationRequired && last !== undefined
  if (!isUndone) return { _tag: "Nothing" }
  return state.isRefundPending ? { _tag: "ResolveRefund" } : { _tag: "Undo", step: last }
}

const failing = ({ finished }: PaymentState, reason: string): PaymentEvent =>
  finished.length === 0 ? { _tag: "Failed", reason } : { _tag: "CompensationBegun", reason }

const finishing = (state: PaymentState, step: Step): ReadonlyArray<PaymentEvent> | undefined => {
  const isCharge = step === "charge" && state.reference !== undefined
  const isExpected = state.status === "in_doubt" ? isCharge : isGoingOn(state)
  if (!isExpected || step !== steps[state.finished.length] || (step === "charge" && !isCharge)) return undefined
  const finished: PaymentEvent = { _tag: "StepFinished", step }
  if (state.status === "requested") return [{ _tag: "Begun" }, finished]
  return step === "confirm" ? [finished, { _tag: "Succeeded" }] : [finished]
}

const undoing = (state: PaymentState, step: Step): ReadonlyArray<PaymentEvent> | undefined => {
  const wanted = following(state)
  const isWanted = wanted._tag === "ResolveRefund" ? step === "charge" : wanted._tag === "Undo" && wanted.step === step
  if (!isWanted) return undefined
  const undone: PaymentEvent = { _tag: "StepUndone", step }
  if (state.finished.length > 1) return [undone]
  return [undone, state.wasCharged ? { _tag: "Compensated" } : { _tag: "Failed", reason: state.failure ?? "undone" }]
}

/** Whether the charge is what is undone next, asked for before or not. */
const isRefunding = (state: PaymentState): boolean => {
  const wanted = following(state)
  return wanted._tag === "ResolveRefund" || (wanted._tag === "Undo" && wanted.step === "charge")
}

const hasChargeLeft = ({ finished }: PaymentState): boolean => finished.includes("charge")

/** Where the charge is not undone, what became of the refund is asked anyway. */
const doubting = (state: PaymentState, refund: string): ReadonlyArray<PaymentEvent> => {
  const isBack = (state.status === "compensating" || state.status === "compensated") && !hasChargeLeft(state)
  return isBack && state.wasCharged && !state.doubtedRefunds.includes(refund) ? [{ _tag: "RefundDoubted", refund }] : []
}

const preparing = (state: PaymentState, reference: string): ReadonlyArray<PaymentEvent> | undefined => {
  if (state.reference === reference) return []
  const wanted = following(state)
  const isWanted = wanted._tag === "Do" && wanted.step === "charge" && state.reference === undefined
  return isWanted ? [{ _tag: "ChargePrepared", reference }] : undefined
}

const isUnderWay = ({ status }: PaymentState): boolean => status === "processing" || status === "in_doubt"

/** What is undone is never given up, whatever became of a command. */
const mayBeGivenUp = (state: PaymentState): boolean => isUnderWay(state) || state.status === "requested"

const isCharging = (state: PaymentState): boolean =>
  isUnderWay(state) && state.reference !== undefined && steps[state.finished.length] === "charge"

const events = (state: PaymentState, command: PaymentCommand): ReadonlyArray<PaymentEvent> | undefined => {
  switch (command._tag) {
    case "PrepareCharge":
      return preparing(state, command.reference)
    case "FinishStep":
      return finishing(state, command.step)
    case "Doubt":
      if (!isCharging(state)) return undefined
      return state.status === "in_doubt" ? [] : [{ _tag: "Doubted", reason: command.reason }]
    case "Fail":
      return mayBeGivenUp(state) ? [failing(state, command.reason)] : undefined
    case "SetAside":
      return mayBeGivenUp(state) && state.setAside === undefined
        ? [{ _tag: "CommandSetAside", reason: command.reason }]
        : []
    case "Quarantine":
      return isFinal(state) || state.quarantine !== undefined ? [] : [{ _tag: "Quarantined", reason: command.reason }]
    case "LiftQuarantine":
      return state.quarantine === undefined ? [] : [{ _tag: "QuarantineLifted" }]
    case "Refund":
      if (state.status === "compensating" || state.status === "compensated") return []
      return state.status === "succeeded" ? [failing(state, command.reason)] : undefined
    case "UndoStep":
      return undoing(state, command.step)
    case "AwaitRefund":
      if (!isRefunding(state)) return undefined
      return state.isRefundPending ? [] : [{ _tag: "RefundPending" }]
    case "FailRefund":
      return isRefunding(state) ? [{ _tag: "RefundFailed", reason: command.reason }] : undefined
    case "DoubtRefund":
      return doubting(state, command.refund)
    case "RequireCompensation":
      if (state.status !== "compensating") return undefined
      return state.isCompensationRequired ? [] : [{ _tag: "CompensationRequired" }]
    case "ResumeCompensation":
      if (state.status !== "compensating") return undefined
      return state.isCompensationRequired ? [{ _tag: "CompensationResumed" }] : []
  }
}

/** What happens on a command: nothing, where it has happened already; a refusal, where it may not. */
export const decide = (
  state: PaymentState,
  command: PaymentCommand
): Result.Result<ReadonlyArray<PaymentEvent>, IllegalTransition> => {
  const decided = events(state, command)
  return decided === undefined
    ? Result.fail(new IllegalTransition({ status: state.status, command: command._tag }))
    : Result.succeed(decided)
}
