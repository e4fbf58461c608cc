/**
 * A payment at work: claimed → next step → recorded → next step … until it has ended, or has to wait.
 *
 * ## Guarantees
 * - A payment is charged once at most, whoever works on it, however often, and whatever crashes in between.
 * - One that fails for good leaves nothing behind: what was finished is undone in reverse order, again and again until it
 *   is done.
 * - Money that goes back is believed to be back when the provider says so, and not before.
 * - One whose charge was not answered is never charged by a new request: its provider is asked what became of it.
 *
 * ## Assumptions
 * - Every step can be done twice (see the ports); the store refuses what is decided on a history that has grown.
 * - Somebody comes back to what has to wait: the sweep does.
 */
import { Clock, Duration, Effect, Random } from "effect"
import { next, type PaymentCommand } from "../domain/PaymentIntent.ts"
import { isFinal } from "../domain/PaymentState.ts"
import { type ClaimedPayment, type Payment, PaymentIntents } from "../domain/ports/PaymentIntents.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import type { StoreError } from "../domain/StoreError.ts"
import { change } from "./PaymentChanges.ts"
import { claiming } from "./PaymentClaim.ts"
import { givenUp, nextStep, type StepOptions } from "./PaymentSteps.ts"

/** What became of a payment for now. */
export type Processed =
  /** Nothing will happen to it any more by itself. */
  | { readonly _tag: "Ended"; readonly payment: Payment }
  /** It is in doubt, its refund is under way, or it waits for an operator. */
  | { readonly _tag: "Waiting"; readonly payment: Payment }
  /** Somebody else is at it. */
  | { readonly _tag: "Held"; readonly payment: Payment }
  | { readonly _tag: "Unknown" }

export interface ProcessOptions extends StepOptions {
  /** Longer than the store's answers take; renewed for as long as the work goes on. */
  readonly lease: Duration.Duration
}

/**
 * Takes a payment as far as it goes. Fails with `StepAway` where a step may be done later, and with `GatewayError` where
 * the provider does not let us in: the payment stays as it is.
 */
export const processPayment = Effect.fn("Payments.process")((id: string, options: ProcessOptions) =>
  processing(id, options, (claimed) => advanced(claimed, options))
)

/**
 * What is left to do when a payment was tried often enough: one whose charge does not get on fails, and what it has
 * finished is undone. What cannot be undone, or found out, now waits for the sweep.
 */
export const giveUp = Effect.fn("Payments.giveUp")((id: string, options: ProcessOptions) =>
  processing(id, options, (claimed) =>
    Effect.gen(function* () {
      const command = yield* givenUp(claimed)
      const payment = command === undefined ? claimed : yield* changed(claimed, command, options)
      return payment && (yield* advanced(payment, options))
    })
  ).pipe(Effect.catchTag("StepAway", () => stored(id, "Waiting")))
)

const processing = Effect.fnUntraced(function* <E, R>(
  id: string,
  { lease }: ProcessOptions,
  work: (claimed: ClaimedPayment) => Effect.Effect<ClaimedPayment | undefined, E, R>
) {
  const payment = yield* claiming(id, lease, (claimed) => Effect.tap(work(claimed), postponed))
  return payment === undefined ? yield* stored(id, "Held") : ofPayment(payment)
})

/** A refund takes days: it is looked at after a tenth of the time that it has taken so far, and when there is news. */
const refundLooks = { share: 0.1, minimum: Duration.seconds(10), maximum: Duration.hours(1) }

const postponed = Effect.fnUntraced(function* (payment: ClaimedPayment | undefined) {
  if (payment === undefined || next(payment.state)._tag !== "ResolveRefund") return
  const intents = yield* PaymentIntents
  // Ours beside the store's clock: that makes it a little earlier or later.
  const taken = Duration.millis(Math.max(0, (yield* Clock.currentTimeMillis) - payment.updatedAtMillis))
  yield* intents.postpone(payment, Duration.clamp(Duration.times(taken, refundLooks.share), refundLooks))
})

const ofPayment = (payment: Payment): Processed => ({ _tag: isFinal(payment.state) ? "Ended" : "Waiting", payment })

/** A payment as it stands, without our working on it. */
const stored = Effect.fnUntraced(function* (
  id: string,
  otherwise: "Held" | "Waiting"
): Effect.fn.Return<Processed, StoreError, PaymentIntents> {
  const payment = yield* PaymentIntents.use((intents) => intents.find(id))
  if (payment === undefined) return { _tag: "Unknown" }
  return isFinal(payment.state) ? { _tag: "Ended", payment } : { _tag: otherwise, payment }
})

/** Goes on as long as there is something to do; `undefined` if the claim is lost. */
const advanced = Effect.fnUntraced(function* (claimed: ClaimedPayment, options: ProcessOptions) {
  let payment = claimed
  while (true) {
    const command = yield* nextStep(payment, options)
    if (command === undefined) return payment
    const after = yield* changed(payment, command, options)
    if (after === undefined) return undefined
    payment = after
  }
})

/**
 * The payment after a command, or as somebody without a claim (a refund, a provider's news) has changed it meanwhile;
 * `undefined` where that was somebody who has it now.
 */
const changed = Effect.fnUntraced(function* (
  payment: ClaimedPayment,
  command: PaymentCommand,
  { lease }: ProcessOptions
) {
  // What follows from a payment's own state is never against it.
  const after = yield* Effect.catchTag(change(payment, command), "IllegalTransition", Effect.die)
  if (after !== undefined) return after
  const intents = yield* PaymentIntents
  const latest = yield* intents.find(payment.id)
  if (latest === undefined || latest.version === payment.version) return undefined
  return (yield* intents.renew(payment, lease)) ? { ...latest, token: payment.token } : undefined
})

/** A payment that is processed while somebody waits for it. */
export interface ProcessNowOptions extends ProcessOptions {
  /** The payment is given up when they are used up. */
  readonly retry: RetryPolicy.RetryPolicy
}

/** Takes a payment as far as it goes, and tries again here and now; gives it up when that is used up. */
export const processNow = Effect.fn("Payments.processNow")(function* (id: string, options: ProcessNowOptions) {
  const { retry } = options
  for (let attempt = 1; RetryPolicy.mayRetry(retry, attempt); attempt++) {
    const processed = yield* Effect.result(processPayment(id, options))
    if (processed._tag === "Success") return processed.success
    const error = processed.failure
    if (error._tag !== "StepAway") return yield* error
    yield* Effect.sleep(error.retryAfter ?? RetryPolicy.jitteredDelay(retry, attempt, yield* Random.next))
  }
  return yield* Effect.catchTag(processPayment(id, options), "StepAway", () => giveUp(id, options))
})
