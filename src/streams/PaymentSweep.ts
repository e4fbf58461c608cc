/**
 * Payments that nobody is at and that should go on: in doubt, begun before a crash, asked for and never taken up, or not
 * undone yet. Looked for by the store's clock, and taken up again and again until they have ended.
 *
 * ## Guarantees
 * - Every payment ends, or waits for an operator, some day after the provider and the database answer again.
 * - A charge that does not get on for `giveUpAfter` is given up; undoing never is.
 * - Somebody is told of every payment that does not get on for `stuckAfter`, once by each process.
 */
import { Clock, Duration, Effect, Random, Stream } from "effect"
import type { GatewayError } from "../domain/ports/PaymentGateway.ts"
import { PaymentIntents, type PaymentSummary } from "../domain/ports/PaymentIntents.ts"
import type { StoreError } from "../domain/StoreError.ts"
import { GatewayAccess } from "./GatewayAccess.ts"
import * as Metrics from "./PaymentIntentMetrics.ts"
import { giveUp, type ProcessOptions, processPayment } from "./PaymentProcessor.ts"
import { Shutdown, untilShutdown } from "./Shutdown.ts"
import { supervised } from "./Supervisor.ts"

export interface SweepOptions extends ProcessOptions {
  /** Between two looks. */
  readonly every: Duration.Duration
  /** Without news for so long, a payment is taken up. */
  readonly overdueAfter: Duration.Duration
  readonly giveUpAfter: Duration.Duration
  readonly stuckAfter: Duration.Duration
  /** Payments at the same time. */
  readonly concurrency: number
}

/** Of each kind, at one look. */
const mostAtOnce = 1000

/** A provider that was away for so many in a row is left alone until the next look. */
const mostAway = 10

/** Runs until it is asked to stop; a tick for each look. */
export const paymentSweep = (options: SweepOptions) =>
  Stream.unwrap(
    Effect.sync(() => {
      const told = new Set<string>()
      return Stream.tick(options.every).pipe(
        untilShutdown,
        Stream.mapEffect(() => swept(options, told))
      )
    })
  ).pipe(supervised("payment sweep"))

/** One look, and all that it finds taken up; `told` holds those that an operator was told of before. */
export const swept = Effect.fn("Payments.sweep")(function* (options: SweepOptions, told: Set<string>) {
  const intents = yield* PaymentIntents
  const shutdown = yield* Shutdown
  const access = yield* GatewayAccess
  const undecided = yield* intents.list(["in_doubt", "compensating"], mostAtOnce)
  const stuck = yield* intents.overdue(options.stuckAfter, mostAtOnce)
  yield* shown(undecided, stuck)
  yield* tellStuck(stuck, told)
  const tired = new Set(yield* intents.overdue(options.giveUpAfter, mostAtOnce))
  let away = 0
  const notLetIn = (error: GatewayError) => Effect.as(access.refused(error), mostAway)
  const takeUp = Effect.fnUntraced(function* (id: string) {
    if (away >= mostAway || (yield* shutdown.isRequested)) return
    const taken = Effect.map(takenUp(id, tired.has(id), options), (isThere) => (isThere ? 0 : away + 1))
    away = yield* Effect.catchTag(taken, "GatewayError", notLetIn)
  })
  // In no order: those that never get on hold up nobody behind them.
  yield* Effect.forEach(yield* Random.shuffle(yield* overdue(undecided, options)), takeUp, {
    concurrency: options.concurrency,
    discard: true
  })
})

/** Those that have waited the longest, and the latest of those that matter the most: neither hides the other. */
const overdue = Effect.fnUntraced(function* (
  undecided: ReadonlyArray<PaymentSummary>,
  { overdueAfter }: SweepOptions
): Effect.fn.Return<ReadonlySet<string>, StoreError, PaymentIntents> {
  const intents = yield* PaymentIntents
  // Only spares the store a claim too early: who holds a payment is decided there.
  const since = (yield* Clock.currentTimeMillis) - Duration.toMillis(overdueAfter)
  const quiet = undecided.filter(
    ({ leaseLeftMillis, state, updatedAtMillis }) =>
      leaseLeftMillis === 0 && !state.isCompensationRequired && updatedAtMillis <= since
  )
  return new Set([...(yield* intents.overdue(overdueAfter, mostAtOnce)), ...quiet.map(({ id }) => id)])
})

/** Whether the provider could be asked. What is wrong with one payment is no other's. */
const takenUp = (id: string, isTired: boolean, options: ProcessOptions) =>
  processPayment(id, options).pipe(
    Effect.as(true),
    Effect.catchTag("StepAway", () => Effect.as(isTired ? giveUp(id, options) : Effect.void, false)),
    // A database that says no to everybody says so at the next look as well.
    Effect.catchIf(
      (error) => error._tag === "StoreError" && !error.isRetryable,
      (error) => Effect.as(Effect.logError(`a payment cannot be taken up: ${error.message}`), true)
    ),
    Effect.catchDefect((defect) => Effect.as(Effect.logError("a defect in a payment", defect), true)),
    Effect.annotateLogs({ paymentId: id })
  )

const shown = Effect.fnUntraced(function* (undecided: ReadonlyArray<PaymentSummary>, stuck: ReadonlyArray<string>) {
  const now = yield* Clock.currentTimeMillis
  const inDoubt = undecided.filter(({ state }) => state.status === "in_doubt")
  const compensating = undecided.filter(({ state }) => state.status === "compensating")
  yield* Metrics.standing({
    inDoubt: inDoubt.length,
    oldestInDoubtMillis: Math.max(0, ...inDoubt.map(({ updatedAtMillis }) => now - updatedAtMillis)),
    compensating: compensating.length,
    required: compensating.filter(({ state }) => state.isCompensationRequired).length,
    stuck: stuck.length
  })
})

const tellStuck = Effect.fnUntraced(function* (stuck: ReadonlyArray<string>, told: Set<string>) {
  yield* Effect.forEach(
    stuck.filter((id) => !told.has(id)),
    (paymentId) =>
      Effect.annotateLogs(Effect.logError("a payment does not get on by itself: see `sagas show`"), { paymentId }),
    { discard: true }
  )
  told.clear()
  for (const id of stuck) told.add(id)
})
