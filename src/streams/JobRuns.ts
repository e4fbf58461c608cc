/**
 * The runs that go on in this process: begun, kept by their leases, and recorded.
 *
 * ## Guarantees
 * - What has ended is recorded until the store has taken it; whoever stops meanwhile waits for that.
 * - A run whose lease is over by this process's own clock, or that somebody else has, is interrupted and not recorded.
 * - A run that is interrupted because the process stops is released: another takes it up at once.
 */
import { Clock, Duration, Effect, Fiber, Option, Schedule, type Scope, Stream } from "effect"
import type { HeldRun } from "../domain/JobRun.ts"
import { type Ending, type Holder, JobHistory } from "../domain/ports/JobHistory.ts"
import type { Runnable } from "./JobBook.ts"
import * as JobMetrics from "./JobMetrics.ts"
import * as JobPlaces from "./JobPlaces.ts"
import * as JobRecords from "./JobRecords.ts"
import { runJob } from "./JobRunner.ts"
import { supervised } from "./Supervisor.ts"

export interface JobRunsOptions {
  readonly holder: Holder
  readonly maxConcurrent: number
  readonly defaultTimeout: Duration.Duration
}

/** Renewed so many times within a lease: two that fail are no loss. */
const renewalsPerLease = 4

/** What of a lease is used: the rest is for clocks that differ. */
const usedShare = 0.75

/** For what was interrupted and is to be told to a store that may be away. */
const longestRelease = Duration.seconds(2)

interface Running {
  readonly run: HeldRun
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  validUntilNanos: bigint
  /** It is being recorded. */
  hasEnded: boolean
  /** It is somebody else's. */
  isLost: boolean
}

/** What is known of jobs. */
export interface KnownJobs<R> {
  readonly runnableOf: (job: string) => Runnable<R> | undefined
  /** The store's time, in milliseconds. */
  readonly now: Effect.Effect<number>
  /** There may be something to do: a place is free, or another run waits. */
  readonly wake: () => void
}

interface Beginning<R> {
  readonly run: HeldRun
  readonly runnable: Runnable<R>
}

/** Begins runs, and does not wait for them. */
export type Begin<R> = (beginnings: ReadonlyArray<Beginning<R>>) => Effect.Effect<void, never, JobHistory | R>

const usableNanosOf = ({ lease }: Holder): bigint =>
  BigInt(Math.round(Duration.toMillis(lease) * usedShare)) * 1_000_000n

type Places = ReturnType<typeof JobPlaces.make<Running>>

const stop = (entry: Running, why: string) =>
  Effect.suspend(() => {
    entry.isLost = true
    entry.fiber?.interruptUnsafe()
    return JobRecords.annotated(entry.run)(Effect.logWarning(why))
  })

/** Renews all leases with one statement, and interrupts what is lost. */
const renewAll = Effect.fnUntraced(function* ({ running }: Places, holder: Holder, patience: Duration.Duration) {
  const held = [...running.values()]
  if (held.length === 0) return
  const askedAt = yield* Clock.currentTimeNanos
  const asking = JobHistory.use((history) =>
    history.renew(
      holder,
      held.map(({ run }) => run)
    )
  )
  const answer = Effect.map(Effect.timeoutOption(Effect.option(asking), patience), Option.flatten)
  const lost = Option.getOrUndefined(yield* answer)
  const now = yield* Clock.currentTimeNanos
  const lostTokens = new Set(lost?.map(({ fencingToken }) => fencingToken))
  for (const entry of held) {
    // What has ended is open no more once that is recorded, and nobody else's for that.
    if (entry.hasEnded) continue
    if (lostTokens.has(entry.run.fencingToken)) yield* stop(entry, "was taken over by another, and is interrupted")
    else if (lost !== undefined) entry.validUntilNanos = askedAt + usableNanosOf(holder)
    else if (now >= entry.validUntilNanos)
      yield* stop(entry, "its lease cannot be renewed: it is interrupted, since another may take it over")
  }
})

const release = Effect.fnUntraced(function* ({ isLost, run }: Running) {
  if (isLost) return
  yield* JobMetrics.of(run.job).ended("interrupted")
  const error = "interrupted: the process was asked to stop"
  const ending: Ending = { run, outcome: "interrupted", isReleased: true, error, result: undefined }
  const record = JobHistory.use((history) => history.record([ending]))
  yield* Effect.ignore(Effect.timeoutOption(record, longestRelease))
})

const drain = Effect.fnUntraced(function* ({ allEnded, running }: Places, longest: Duration.Duration) {
  if (running.size === 0) return
  yield* Effect.logInfo(`waiting for runs to end (${running.size}), for up to ${Duration.format(longest)}`)
  yield* Effect.timeoutOption(allEnded, longest)
  const left = [...running.values()]
  for (const { run } of left)
    yield* JobRecords.annotated(run)(Effect.logWarning("has not ended in time: it is interrupted and released"))
  yield* Effect.forEach(left, ({ fiber }) => (fiber === undefined ? Effect.void : Fiber.interrupt(fiber)), {
    concurrency: "unbounded",
    discard: true
  })
})

/** Keeps so many places for what is begun by this. */
const withPlaces =
  <R>(places: Places, begin: Begin<R>) =>
  <A, E, R2>(count: number, use: (begin: Begin<R>) => Effect.Effect<A, E, R2>) =>
    places.keeping(count, (come) =>
      use((beginnings) =>
        Effect.suspend(() => {
          come(beginnings.length)
          return begin(beginnings)
        })
      )
    )

/** No runs yet; those that are begun live in `scope`. */
export const make = Effect.fnUntraced(function* <R>(known: KnownJobs<R>, options: JobRunsOptions, scope: Scope.Scope) {
  const { defaultTimeout: timeout, holder, maxConcurrent } = options
  const places = JobPlaces.make<Running>(maxConcurrent)
  let hasWaiting = true
  const expectWaiting = (): void => {
    hasWaiting = true
    known.wake()
  }
  const { keep, recording } = yield* JobRecords.make(expectWaiting)
  const every = Duration.millis(Duration.toMillis(holder.lease) / renewalsPerLease)

  const go = (runnable: Runnable<R>, entry: Running) =>
    Effect.gen(function* () {
      const metrics = JobMetrics.of(entry.run.job)
      yield* metrics.began((yield* known.now) - entry.run.scheduledFor)
      const ending = yield* Effect.onInterrupt(runJob(runnable, entry.run, { timeout, keep }), () => release(entry))
      entry.hasEnded = true
      yield* keep(ending)
      yield* metrics.ended(ending.outcome ?? "interrupted")
    }).pipe(
      Effect.ensuring(
        Effect.suspend(() => {
          places.remove(entry)
          known.wake()
          return JobMetrics.of(entry.run.job).stopped
        })
      )
    )

  const begin = Effect.fnUntraced(function* (beginnings: ReadonlyArray<Beginning<R>>) {
    const validUntilNanos = (yield* Clock.currentTimeNanos) + usableNanosOf(holder)
    for (const { run, runnable } of beginnings) {
      const entry: Running = { run, fiber: undefined, validUntilNanos, hasEnded: false, isLost: false }
      places.add(entry)
      entry.fiber = yield* Effect.forkIn(go(runnable, entry), scope)
    }
  })

  return {
    /** Waits until nothing goes on. */
    allEnded: places.allEnded,
    /** Places for runs that nobody has, nor is about to have. */
    free: places.free,
    withPlaces: withPlaces(places, begin),
    /** Whether there may be runs that wait for somebody to take them; asking forgets it. */
    expectsWaiting: (): boolean => {
      const expected = hasWaiting
      hasWaiting = false
      return expected
    },
    expectWaiting,
    /** Of runs that are held, what they do; none of a job that is not known any more. */
    known: (runs: ReadonlyArray<HeldRun>): ReadonlyArray<Beginning<R>> =>
      runs.flatMap((run) => {
        const runnable = known.runnableOf(run.job)
        return runnable === undefined ? [] : [{ run, runnable }]
      }),
    /** Waits for what goes on, for so long at most; then interrupts and releases it. */
    drain: (longest: Duration.Duration) => drain(places, longest),
    /** Goes on for ever. */
    recording,
    /** Goes on for ever. */
    renewing: Stream.fromEffectSchedule(renewAll(places, holder, every), Schedule.spaced(every)).pipe(
      supervised("job leases")
    )
  }
})

/** The runs of a process. */
export type JobRuns<R> = Effect.Success<ReturnType<typeof make<R>>>
