/**
 * What workers with `dedupe`, ordered ones, and all of them against messages that kill the process, find around them
 * where there is a database; and its tables, kept in order beside them: made at the start, and rid of what is old for as
 * long as the process lives.
 */
import { Context, Duration, Effect, Layer, Stream } from "effect"
import { CrashMarks } from "../domain/ports/CrashMarks.ts"
import { FinishedInputs } from "../domain/ports/FinishedInputs.ts"
import type { StoreError } from "../domain/StoreError.ts"
import { Deduplication } from "./Deduplication.ts"
import { Shutdown } from "./Shutdown.ts"
import { supervised } from "./Supervisor.ts"
import { Suspects } from "./Suspects.ts"
import type { Any } from "./Worker.ts"

export interface WorkerStoresOptions {
  readonly dedupeRetention: Duration.Duration
  /** Whether a worker cannot do without: a database that refuses us is no reason to end otherwise. */
  readonly isNeeded: boolean
}

/** Far longer than a message that kills its process takes to come again. */
const crashMarkRetention = Duration.days(30)
/** Rows in one statement: short locks, and little for a replica to swallow. */
const batchSize = 1000
/** Several processes do the same: what is due waits an hour at most. */
const interval = "10 minutes"
/** After a round that did not go well, where no worker waits for it. */
const retryInterval = "10 seconds"

/** Prepares the tables, then removes what is old now and then; whether it went well, for each round. */
export const storesInOrder = ({ dedupeRetention, isNeeded }: WorkerStoresOptions) => {
  const round = Effect.gen(function* () {
    const finished = yield* FinishedInputs
    const marks = yield* CrashMarks
    yield* finished.prepare
    yield* untilNoneLeft(finished.forget(dedupeRetention, batchSize))
    yield* untilNoneLeft(marks.forget(crashMarkRetention, batchSize))
  })
  const attempt = isNeeded ? Effect.as(round, true) : orWithout(round)
  const pause = (done: boolean) =>
    Effect.flatMap(Shutdown, ({ requested }) => Effect.timeoutOption(requested, done ? interval : retryInterval))
  const rounds = Stream.fromEffectRepeat(Effect.tap(attempt, pause)).pipe(
    Stream.takeUntilEffect(() => Effect.flatMap(Shutdown, ({ isRequested }) => isRequested))
  )
  return rounds.pipe(supervised("worker tables"))
}

const untilNoneLeft = (forget: Effect.Effect<number, StoreError>): Effect.Effect<void, StoreError> =>
  Effect.flatMap(forget, (removed) => (removed < batchSize ? Effect.void : untilNoneLeft(forget)))

/** Whether it went well: no worker is less ready because it did not. What will not change by itself is said, once. */
const orWithout = <R>(round: Effect.Effect<void, StoreError, R>) => {
  let told = ""
  return Effect.as(round, true).pipe(
    Effect.catch((error) =>
      Effect.suspend(() => {
        if (error.isRetryable || error.message === told) return Effect.succeed(false)
        told = error.message
        return Effect.as(Effect.logWarning(`crash marks are off: ${told}`), false)
      })
    )
  )
}

/** What keeps the tables in order, if there are any. */
const Upkeep = Context.Reference<((isNeeded: boolean) => ReturnType<typeof upkeepOn>) | undefined>(
  "paystream/streams/WorkerStores/Upkeep",
  { defaultValue: () => undefined }
)

const upkeepOn = (
  stores: Context.Context<FinishedInputs | CrashMarks>,
  dedupeRetention: Duration.Duration,
  isNeeded: boolean
) => Stream.provideContext(storesInOrder({ dedupeRetention, isNeeded }), stores)

export interface GuardOptions {
  readonly dedupeRetention: Duration.Duration
  readonly maxCrashes: number
  readonly suspectPatience: Duration.Duration
}

/** What workers are guarded by, on any stores. */
export const guards = ({ dedupeRetention, maxCrashes, suspectPatience }: GuardOptions) =>
  Layer.mergeAll(
    Deduplication.layer,
    Suspects.layer({ maxCrashes, patience: suspectPatience }),
    Layer.effect(
      Upkeep,
      Effect.map(
        Effect.context<FinishedInputs | CrashMarks>(),
        (stores) => (isNeeded: boolean) => upkeepOn(stores, dedupeRetention, isNeeded)
      )
    )
  )

/** Whether one of them waits for the database. */
export const needsDatabase = (workers: ReadonlyArray<Any>): boolean =>
  workers.some(({ dedupe, ordered }) => dedupe || ordered !== undefined)

/** The tables kept in order beside the work; whoever has no `dedupe` does not wait for them, nor end because of them. */
export const besideUpkeep =
  (workers: ReadonlyArray<Any>) =>
  <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.flatMap(Upkeep, (upkeep) => {
      if (upkeep === undefined) return work
      return Effect.raceFirst(work, Effect.andThen(Stream.runDrain(upkeep(needsDatabase(workers))), Effect.never))
    })
