/**
 * The next step of a payment, outside: at the orders and at the provider. It gives the command that records what came
 * of it.
 *
 * ## Guarantees
 * - A step has its effect first and is recorded then: a crash between the two does it again, and each can be done again.
 *   Recorded first, a crash would leave it undone for ever.
 * - A charge is confirmed only under a reference that is stored: whoever goes on after a crash asks for the same one.
 * - A payment with a reference fails only when its provider has said that no money is taken, nor will be.
 * - Where the provider does not let us in, nothing is recorded: that is a `GatewayError`, and the only one.
 */
import { Duration, Effect, Schema } from "effect"
import type { Step } from "../domain/PaymentEvent.ts"
import { next, type PaymentCommand } from "../domain/PaymentIntent.ts"
import {
  type ChargeStatus,
  type GatewayError,
  PaymentGateway,
  type PreparedCharge,
  type RefundAttempt,
  type RefundStatus
} from "../domain/ports/PaymentGateway.ts"
import { type Payment, PaymentIntents } from "../domain/ports/PaymentIntents.ts"
import { Reservations, type Reserved } from "../domain/ports/Reservations.ts"
import type { StoreError } from "../domain/StoreError.ts"
import * as Metrics from "./PaymentIntentMetrics.ts"

/** A step that cannot be done now, and may be later. */
export class StepAway extends Schema.TaggedError<StepAway>()("StepAway", {
  paymentId: Schema.String,
  step: Schema.Literals(["charge", "doubt", "refund"]),
  detail: Schema.String,
  /** When the provider asked to be tried again, if it did. */
  retryAfter: Schema.UndefinedOr(Schema.Duration)
}) {
  override get message(): string {
    return `payment ${this.paymentId} does not get on (${this.step}): ${this.detail}`
  }
}

/** A command to be stored; `undefined` where there is nothing to do now. */
type Recorded<E = never> = Effect.Effect<
  PaymentCommand | undefined,
  E | GatewayError | StoreError,
  PaymentGateway | PaymentIntents | Reservations
>

export interface StepOptions {
  /** Whether what was finished is undone by itself; otherwise an operator has to ask for it. */
  readonly isCompensating: boolean
}

/** Does what is next for the payment. */
export const nextStep = (payment: Payment, options: StepOptions): Recorded<StepAway> => {
  const wanted = next(payment.state)
  switch (wanted._tag) {
    case "Do":
      return doing[wanted.step](payment)
    case "ResolveDoubt":
      return resolved(payment)
    case "Undo":
      return Effect.flatMap(waitsForOperator(payment, options), (waits) =>
        waits ? Effect.succeed({ _tag: "RequireCompensation" }) : undone(payment, wanted.step)
      )
    case "ResolveRefund":
      return refundResolved(payment)
    case "Nothing":
      return Effect.undefined
  }
}

const finished = (step: Step): PaymentCommand => ({ _tag: "FinishStep", step })
const failed = (reason: string): PaymentCommand => ({ _tag: "Fail", reason })

const reservationOf = ({ id, state }: Payment) => ({ orderId: state.orderId, paymentId: id })

const ofReserved =
  (step: Step) =>
  (reserved: Reserved): PaymentCommand =>
    reserved._tag === "Done" ? finished(step) : failed(reserved.reason)

const chargeOf = ({ id, state }: Payment) => ({
  paymentId: id,
  amount: state.amount,
  currency: state.currency,
  paymentMethod: state.paymentMethod
})

const preparedOf = (payment: Payment, reference: string): PreparedCharge => ({ ...chargeOf(payment), reference })

const doing: Readonly<Record<Step, (payment: Payment) => Recorded<StepAway>>> = {
  reserve: (payment) =>
    Effect.map(
      Reservations.use((orders) => orders.reserve(reservationOf(payment))),
      ofReserved("reserve")
    ),
  charge: (payment) => {
    const { reference } = payment.state
    return reference === undefined ? prepared(payment) : confirmed(payment, preparedOf(payment, reference))
  },
  // An order that was cancelled meanwhile is not confirmed: the money goes back.
  confirm: (payment) =>
    Effect.map(
      Reservations.use((orders) => orders.confirm(reservationOf(payment))),
      ofReserved("confirm")
    )
}

const away = (payment: Payment, step: StepAway["step"], { message, reason }: GatewayError): StepAway => {
  const millis = reason._tag === "GatewayAway" ? reason.retryAfterMillis : undefined
  const retryAfter = millis === undefined ? undefined : Duration.millis(millis)
  return new StepAway({ paymentId: payment.id, step, detail: message, retryAfter })
}

/** What cannot be given up: a refusal is told, for somebody to mend what it is about, and tried again like the rest. */
const awayFrom =
  (payment: Payment, step: StepAway["step"]) =>
  (error: GatewayError): Effect.Effect<never, StepAway | GatewayError> =>
    error.isUnauthorized
      ? Effect.fail(error)
      : Effect.andThen(
          error.isRetryable ? Effect.void : tellRefused(payment, error),
          Effect.fail(away(payment, step, error))
        )

/** Takes no money: a crash before its reference is stored prepares again, and gets the same one. */
const prepared = (payment: Payment): Recorded<StepAway> =>
  Effect.catch(
    Effect.map(
      PaymentGateway.use((gateway) => gateway.prepare(chargeOf(payment))),
      (reference): PaymentCommand => ({ _tag: "PrepareCharge", reference })
    ),
    (error): Recorded<StepAway> => {
      if (error.isUnauthorized) return Effect.fail(error)
      if (error.isRetryable) return Effect.fail(away(payment, "charge", error))
      return Effect.as(tellRefused(payment, error), refused)
    }
  )

const refused = failed("gateway_refused")

const tellRefused = ({ id }: Payment, error: GatewayError) =>
  Effect.annotateLogs(Effect.logError(`the payment provider refuses a request: ${error.message}`), { paymentId: id })

/** Charged before it is recorded: a crash between the two confirms the same reference again, which takes no more money. */
const confirmed = (payment: Payment, charge: PreparedCharge): Recorded<StepAway> =>
  PaymentGateway.use((gateway) => Metrics.charge(gateway.confirm(charge))).pipe(
    Effect.map(ofAnswer),
    Effect.catch((error): Recorded<StepAway> => {
      if (error.isUnauthorized) return Effect.fail(error)
      if (error.reason._tag === "GatewayUnanswered") return Effect.succeed({ _tag: "Doubt", reason: "unanswered" })
      if (error.reason._tag === "GatewayAway") return Effect.fail(away(payment, "charge", error))
      // Refused now; a request before a crash may have been taken all the same.
      return Effect.andThen(tellRefused(payment, error), abandoned(charge.reference, "gateway_refused"))
    })
  )

/** What a confirm was answered. */
const ofAnswer = (status: ChargeStatus): PaymentCommand =>
  settledBy(status, "cancelled") ?? { _tag: "Doubt", reason: status._tag.toLowerCase() }

/** What settles a charge; `undefined` where the provider has not decided. One that was cancelled fails for `reason`. */
const settledBy = (status: ChargeStatus, reason: string): PaymentCommand | undefined => {
  switch (status._tag) {
    case "Charged":
      return finished("charge")
    case "Declined":
      return failed(status.code)
    case "Cancelled":
      return failed(reason)
    // By somebody at the provider, without us: no money is held.
    case "Refunded":
      return failed("refunded_at_provider")
    default:
      return undefined
  }
}

/** Asks what became of a charge; never charges. One that nobody has confirmed is cancelled, so that nobody ever will. */
const resolved = (payment: Payment): Recorded<StepAway> => {
  const { reference } = payment.state
  if (reference === undefined) return Effect.die(new Error(`payment ${payment.id} is in doubt without a reference`))
  return Effect.gen(function* () {
    const gateway = yield* PaymentGateway
    const status = yield* gateway.retrieve(reference)
    const ended = status._tag === "Unconfirmed" ? yield* gateway.cancel(reference) : status
    return settledBy(ended, "unanswered")
  }).pipe(Effect.catchTag("GatewayError", awayFrom(payment, "doubt")))
}

/** Sees to it that a charge takes no money before its payment fails; in doubt where the provider cannot say so. */
const abandoned = (reference: string, reason: string): Recorded => {
  const inDoubt: PaymentCommand = { _tag: "Doubt", reason }
  return PaymentGateway.use((gateway) => gateway.cancel(reference)).pipe(
    Effect.map((status) => settledBy(status, reason) ?? inDoubt),
    Effect.catchIf(
      (error) => !error.isUnauthorized,
      () => Effect.succeed(inDoubt)
    )
  )
}

/** What becomes of a payment whose charge was tried often enough; `undefined` where it is at nothing that is given up. */
export const givenUp = ({ state }: Payment): Recorded => {
  const wanted = next(state)
  if (wanted._tag !== "Do" || wanted.step !== "charge") return Effect.undefined
  if (state.reference === undefined) return Effect.succeed(failed("gateway_away"))
  return abandoned(state.reference, "gateway_away")
}

const isMoney = (step: Step): boolean => step !== "reserve"

/**
 * Whether money that would go back waits for an operator. A reservation is released without asking: no money has moved,
 * or it is back.
 */
const waitsForOperator = Effect.fnUntraced(function* (payment: Payment, { isCompensating }: StepOptions) {
  const last = payment.state.finished.at(-1)
  if (isCompensating || last === undefined || !isMoney(last)) return false
  const history = yield* PaymentIntents.use((intents) => intents.history(payment.id))
  return !history.some(({ event }) => event._tag === "CompensationResumed")
})

/** Undone before it is recorded: a crash between the two undoes it again, which changes nothing. */
const undone = (payment: Payment, step: Step): Recorded<StepAway> => {
  const reservation = reservationOf(payment)
  const undo: PaymentCommand = { _tag: "UndoStep", step }
  switch (step) {
    case "reserve":
      return Effect.as(
        Reservations.use((orders) => orders.release(reservation)),
        undo
      )
    case "confirm":
      return Effect.as(
        Reservations.use((orders) => orders.unconfirm(reservation)),
        undo
      )
    case "charge":
      return refunded(payment)
  }
}

const refundOf = (payment: Payment): Effect.Effect<RefundAttempt> => {
  const { reference, refundFailures } = payment.state
  return reference === undefined
    ? Effect.die(new Error(`payment ${payment.id} is charged without a reference`))
    : Effect.succeed({ ...preparedOf(payment, reference), attempt: refundFailures.length + 1 })
}

const refunded = (payment: Payment): Recorded<StepAway> =>
  Effect.flatMap(refundOf(payment), (refund) => PaymentGateway.use((gateway) => gateway.refund(refund))).pipe(
    Effect.map((status) => refundedBy(status) ?? { _tag: "AwaitRefund" as const }),
    Effect.catch(awayFrom(payment, "refund"))
  )

/** What settles a refund; `undefined` where the provider is still at it. */
const refundedBy = (status: RefundStatus): PaymentCommand | undefined => {
  switch (status._tag) {
    case "Refunded":
      return { _tag: "UndoStep", step: "charge" }
    case "Failed":
      return { _tag: "FailRefund", reason: status.code }
    case "Pending":
      return undefined
  }
}

/** Asks what became of a refund. One that the provider knows nothing of is asked for again. */
const refundResolved = (payment: Payment): Recorded<StepAway> =>
  Effect.gen(function* () {
    const gateway = yield* PaymentGateway
    const refund = yield* refundOf(payment)
    return refundedBy((yield* gateway.retrieveRefund(refund)) ?? (yield* gateway.refund(refund)))
  }).pipe(Effect.catchTag("GatewayError", awayFrom(payment, "refund")))
