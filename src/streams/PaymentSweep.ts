/**
 * Payments that nobody is at and that should go on: in doubt, begun before a crash, asked for and never taken up, or not
 * undone yet. Looked for by the store's clock, and taken up again and again until they have ended.
 *
 * ## Guarantees
 * - Every payment ends, or waits for an operator, some day after the provider and the database answer again.
 * - Payments that never get on hide none of the others, however many they are: each look goes on where the last one ended.
 * - A provider that asks to be tried again later is asked by no look until then, or for five minutes.
 * - A charge that does not get on for `giveUpAfter`, or whose command was set aside, is given up; undoing never is.
 * - Somebody is told how many payments do not get on for `stuckAfter`, exactly, and of each of the 1,000 oldest by its id,
 *   once by each process and 20 at one look.
 * - One that its process dies of is taken up alone, and after so many deaths no more (`PaymentSuspects`): an operator is told.
 * - A refund that is under way is looked at less and less often, and does not count as stuck while the provider answers.
 */
import { Clock, Duration, Effect, Random, Stream } from "effect"
import type { Status } from "../domain/PaymentState.ts"
import type { GatewayError } from "../domain/ports/PaymentGateway.ts"
import { type OverduePayment, PaymentIntents, type Standing } from "../domain/ports/PaymentIntents.ts"
import type { StoreError } from "../domain/StoreError.ts"
import { GatewayAccess } from "./GatewayAccess.ts"
import * as Metrics from "./PaymentIntentMetrics.ts"
import { giveUp, type ProcessOptions, processPayment } from "./PaymentProcessor.ts"
import type { StepAway } from "./PaymentSteps.ts"
import { takenUpAgain } from "./PaymentSuspects.ts"
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

/** Payments that an operator is told of at one look. */
const mostTold = 20

/** A provider that was away for so many in a row of one kind is asked for no more of it until the next look. */
const mostAway = 10

/** However long a provider asks to be left alone: nobody is to forget what waits for it. */
const longestPause = Duration.minutes(5)

/** What a payment needs of its provider: refunds that it refuses say nothing of charges. */
const kindOf = (status: Status) => (status === "in_doubt" || status === "compensating" ? status : "charge")

/** What one look leaves to the next. */
export interface Looks {
  /** Those that an operator was told of. */
  told: ReadonlySet<string>
  /** The last of those that were overdue; `undefined` where the next look begins with the first. */
  last: OverduePayment | undefined
  /** Until then the provider has asked to be left alone. */
  pausedUntilMillis: number
}

/** Before the first look. */
export const noLooks = (): Looks => ({ told: new Set(), last: undefined, pausedUntilMillis: 0 })

/** Runs until it is asked to stop; a tick for each look. */
export const paymentSweep = (options: SweepOptions) =>
  Stream.unwrap(
    Effect.sync(() => {
      const looks = noLooks()
      return Stream.tick(options.every).pipe(
        untilShutdown,
        Stream.mapEffect(() => swept(options, looks))
      )
    })
  ).pipe(supervised("payment sweep"))

/** One look, and what it finds taken up. */
export const swept = Effect.fn("Payments.sweep")(function* (options: SweepOptions, looks: Looks) {
  const intents = yield* PaymentIntents
  const shutdown = yield* Shutdown
  const access = yield* GatewayAccess
  const standing = yield* intents.standing(options.stuckAfter)
  yield* Metrics.standing(standing)
  yield* tellStuck(standing, yield* intents.stuck(options.stuckAfter, mostAtOnce), looks)
  if (yield* isPaused(looks)) return
  const away = { charge: 0, in_doubt: 0, compensating: 0 }
  let isLetIn = true
  const notLetIn = (error: GatewayError) => {
    isLetIn = false
    return Effect.as(access.refused(error), undefined)
  }
  const patience = Duration.toMillis(options.giveUpAfter)
  const takeUp = Effect.fnUntraced(function* ({ id, quietMillis, status }: OverduePayment) {
    const kind = kindOf(status)
    const isOver = !isLetIn || away[kind] >= mostAway || (yield* isPaused(looks)) || (yield* shutdown.isRequested)
    if (isOver) return
    const step = yield* Effect.catchTag(takenUp(id, quietMillis >= patience, options), "GatewayError", notLetIn)
    away[kind] = step === undefined ? 0 : away[kind] + 1
    yield* pause(looks, step?.retryAfter)
  })
  // In no order: those that never get on hold up nobody behind them.
  yield* Effect.forEach(yield* Random.shuffle(yield* overdue(options, looks)), takeUp, {
    concurrency: options.concurrency,
    discard: true
  })
})

const isPaused = (looks: Looks) => Effect.map(Clock.currentTimeMillis, (now) => now < looks.pausedUntilMillis)

const pause = Effect.fnUntraced(function* (looks: Looks, retryAfter: Duration.Duration | undefined) {
  if (retryAfter === undefined) return
  const until = (yield* Clock.currentTimeMillis) + Duration.toMillis(Duration.min(retryAfter, longestPause))
  looks.pausedUntilMillis = Math.max(looks.pausedUntilMillis, until)
})

/** The next of those that wait, and the latest of those that matter the most: neither hides the other. */
const overdue = Effect.fnUntraced(function* (
  { overdueAfter }: SweepOptions,
  looks: Looks
): Effect.fn.Return<ReadonlyArray<OverduePayment>, StoreError, PaymentIntents> {
  const intents = yield* PaymentIntents
  const waiting = yield* intents.overdue(overdueAfter, mostAtOnce, looks.last)
  looks.last = waiting.length < mostAtOnce ? undefined : waiting.at(-1)
  const unsettled = yield* intents.unsettled(overdueAfter, mostAtOnce)
  return [...new Map([...waiting, ...unsettled].map((payment) => [payment.id, payment])).values()]
})

/** The step that the provider was away for, if it was. What is wrong with one payment is no other's. */
const takenUp = (id: string, isTired: boolean, options: ProcessOptions) =>
  takenUpAgain(id, tried(id, isTired, options)).pipe(
    // A database that says no to everybody says so at the next look as well.
    Effect.catchIf(
      (error) => error._tag === "StoreError" && !error.isRetryable,
      (error) => Effect.as(Effect.logError(`a payment cannot be taken up: ${error.message}`), undefined)
    ),
    Effect.catchDefect((defect) => Effect.as(Effect.logError("a defect in a payment", defect), undefined)),
    Effect.annotateLogs({ paymentId: id })
  )

const tried = (id: string, isTired: boolean, options: ProcessOptions) =>
  processPayment(id, options).pipe(
    Effect.as<StepAway | undefined>(undefined),
    Effect.catchTag("StepAway", (step) =>
      Effect.as(Effect.when(giveUp(id, options), isTired ? Effect.succeed(true) : isSetAside(id)), step)
    )
  )

/** Nobody but the sweep tries it any more: it is not waited for. */
const isSetAside = (id: string) =>
  Effect.map(
    PaymentIntents.use((intents) => intents.find(id)),
    (payment) => payment?.state.setAside !== undefined
  )

/** Of those that were not told of yet, the first ones, and how many there are in all: an outage does not flood the log. */
const tellStuck = Effect.fnUntraced(function* ({ stuck }: Standing, ids: ReadonlyArray<string>, looks: Looks) {
  const known = ids.filter((id) => looks.told.has(id))
  const fresh = ids.filter((id) => !looks.told.has(id)).slice(0, mostTold)
  yield* Effect.forEach(
    fresh,
    (paymentId) =>
      Effect.annotateLogs(Effect.logError("a payment does not get on by itself: see `sagas show`"), { paymentId }),
    { discard: true }
  )
  looks.told = new Set([...known, ...fresh])
  if (fresh.length > 0 && stuck > looks.told.size) {
    yield* Effect.logError(`${stuck} payments do not get on by themselves: see \`sagas list --stuck\``)
  }
})
