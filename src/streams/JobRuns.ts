/**
 * The runs that go on in this process: begun, kept by their leases, and recorded.
 *
 * ## Guarantees
 * - What has ended is recorded until the store has taken it; whoever stops meanwhile waits for that.
 * - A run whose lease is over by this process's own clock, or that somebody else has, is interrupted and not recorded.
 * - A run that is interrupted because the process stops is released: another takes it up at once.
 */
import { Clock, Duration, Effect, Fiber, Option, Schedule, Scope, Stream } from "effect"
import type { HeldRun } from "../domain/JobRun.ts"
import { type Ending, type Holder, JobHistory } from "../domain/ports/JobHistory.ts"
import type { Runnable } from "./JobBook.ts"
import * as JobMetrics from "./JobMetrics.ts"
import * as JobPlaces from "./JobPlaces.ts"
import * as JobRecords from "./JobRecords.ts"
import * as JobRunner from "./JobRunner.ts"
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
export const longestRelease = Duration.seconds(2)

interface Running {
  readonly run: HeldRun
  /** On the store's clock. */
  readonly startedAt: number
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  validUntilNanos: bigint
  /** It is being recorded. */
  hasEnded: boolean
  /** It is somebody else's. */
  isLost: boolean
}

/** What the runs of a process have around them. */
export interface Surroundings {
  /** The store's time, in milliseconds. */
  readonly now: Effect.Effect<number>
  /** There may be something to do: a place is free, or another run waits. */
  readonly wake: () => void
}

/** A run that is held, and what it does. */
export interface Beginning<R> {
  readonly run: HeldRun
  readonly runnable: Runnable<R>
}

/** Begins runs, and does not wait for them. */
export type Begin<R> = (beginnings: ReadonlyArray<Beginning<R>>) => Effect.Effect<void, never, JobHistory | R>

/** For so long after its lease began, a run is surely nobody else's. */
export const usableNanosOf = ({ lease }: Holder): bigint =>
  BigInt(Math.round(Duration.toMillis(lease) * usedShare)) * 1_000_000n

/** The same, under leases that have begun by then, on this process's own clock. */
type BeginLeased<R> = (
  beginnings: ReadonlyArray<Beginning<R>>,
  leasedAtNanos: bigint
) => Effect.Effect<void, never, JobHistory | R>

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

const release = Effect.fnUntraced(function* (entry: Running, metrics: JobMetrics.JobMetrics) {
  const { isLost, run } = entry
  if (isLost) return
  metrics.ended(run.job, "interrupted")
  const error = "interrupted: the process was asked to stop"
  const ending: Ending = {
    run,
    outcome: "interrupted",
    isReleased: true,
    startedAt: undefined,
    error,
    result: undefined
  }
  const record = JobHistory.use((history) => history.record([startedAs(entry, ending)]))
  yield* Effect.ignore(Effect.timeoutOption(record, longestRelease))
})

const interruptAll = (left: ReadonlyArray<Running>) =>
  Effect.forEach(left, ({ fiber }) => (fiber === undefined ? Effect.void : Fiber.interrupt(fiber)), {
    concurrency: "unbounded",
    discard: true
  })

const drain = Effect.fnUntraced(function* ({ allEnded, running }: Places, longest: Duration.Duration) {
  if (running.size === 0) return
  yield* Effect.logInfo(`waiting for runs to end (${running.size}), for up to ${Duration.format(longest)}`)
  yield* Effect.timeoutOption(allEnded, longest)
  const left = [...running.values()]
  for (const { run } of left)
    yield* JobRecords.annotated(run)(Effect.logWarning("has not ended in time: it is interrupted and released"))
  yield* interruptAll(left)
})

/** Keeps so many places for what is begun by this; its leases begin later than this does. */
const withPlaces =
  <R>(places: Places, begin: BeginLeased<R>) =>
  <A, E, R2>(count: number, use: (begin: Begin<R>) => Effect.Effect<A, E, R2>) =>
    Effect.flatMap(Clock.currentTimeNanos, (askedAt) =>
      places.keeping(count, (come) =>
        use((beginnings) =>
          Effect.suspend(() => {
            come(beginnings.length)
            return begin(beginnings, askedAt)
          })
        )
      )
    )

/** What was held before its instant has begun then; otherwise the store knows better. */
const startedAs = ({ run, startedAt }: Running, ending: Ending): Ending =>
  run.isAhead ? { ...ending, startedAt } : ending

/** No runs yet; those that are begun live in `scope`. */
export const make = Effect.fnUntraced(function* <R>(
  { now, wake }: Surroundings,
  options: JobRunsOptions,
  scope: Scope.Scope
) {
  const { defaultTimeout: timeout, holder, maxConcurrent } = options
  const places = JobPlaces.make<Running>(maxConcurrent)
  const metrics = yield* JobMetrics.make
  let hasWaiting = true
  const expectWaiting = (): void => {
    hasWaiting = true
    wake()
  }
  const records = yield* JobRecords.make({ waiting: expectWaiting, recorded: wake })
  const every = Duration.millis(Duration.toMillis(holder.lease) / renewalsPerLease)

  const leave = (entry: Running): void => {
    metrics.stopped(entry.run.job)
    places.remove(entry)
  }
  const end = (entry: Running, ending: Ending): void => {
    entry.hasEnded = true
    records.add(startedAs(entry, ending), () => {
      leave(entry)
      metrics.ended(entry.run.job, ending.outcome ?? "interrupted")
    })
  }
  // Its place is free when it is recorded, and its fiber before: thousands of them may end at the same time.
  const go = (runnable: Runnable<R>, entry: Running, begun: JobRunner.Begun) =>
    Effect.suspend(() => {
      metrics.began(entry.run.job, entry.startedAt - entry.run.scheduledFor)
      const keep = (ending: Ending) => records.keep(startedAs(entry, ending))
      return JobRunner.follow(runnable, begun, { timeout, keep, metrics })
    }).pipe(
      Effect.onInterrupt(() => release(entry, metrics)),
      Effect.map((ending) => end(entry, ending)),
      Effect.onError(() =>
        Effect.sync(() => {
          leave(entry)
          wake()
        })
      )
    )

  const enter = (run: HeldRun, startedAt: number, validUntilNanos: bigint): Running => {
    const entry = { run, startedAt, validUntilNanos, fiber: undefined, hasEnded: false, isLost: false }
    places.add(entry)
    return entry
  }
  // All of them begin, and only then is done what there is to do beside: for thousands, that takes its time.
  const begin = Effect.fnUntraced(function* (beginnings: ReadonlyArray<Beginning<R>>, leasedAtNanos: bigint) {
    const validUntilNanos = leasedAtNanos + usableNanosOf(holder)
    const clock = yield* Clock.Clock
    const ahead = (yield* now) - clock.currentTimeMillisUnsafe()
    const followed: Array<readonly [Beginning<R>, Running, JobRunner.Begun]> = []
    for (const beginning of beginnings) {
      const entry = enter(beginning.run, clock.currentTimeMillisUnsafe() + ahead, validUntilNanos)
      followed.push([beginning, entry, yield* JobRunner.begin(beginning.runnable, beginning.run)])
    }
    for (const [{ runnable }, entry, begun] of followed) {
      const fiber = yield* Effect.forkDetach(go(runnable, entry, begun), { startImmediately: true })
      entry.fiber = fiber
      if (entry.isLost) fiber.interruptUnsafe()
    }
  }, Effect.uninterruptible)
  yield* Scope.addFinalizer(
    scope,
    Effect.suspend(() => interruptAll([...places.running.values()]))
  )

  return {
    /** Waits until nothing goes on. */
    allEnded: places.allEnded,
    /** Places for runs that nobody has, nor is about to have. */
    free: places.free,
    withPlaces: withPlaces(places, begin),
    /** Begins what was held before. */
    beginHeld: begin,
    /** Whether there may be runs that wait for somebody to take them; asking forgets it. */
    expectsWaiting: (): boolean => {
      const expected = hasWaiting
      hasWaiting = false
      return expected
    },
    expectWaiting,
    /** Waits for what goes on, for so long at most; then interrupts and releases it. */
    drain: (longest: Duration.Duration) => drain(places, longest),
    /** While this goes on, what has ended is recorded a moment later. */
    recordingLater: records.later,
    /** Records what has ended, whatever else goes on. */
    recordNow: records.now,
    /** Goes on for ever. */
    recording: records.recording,
    /** Goes on for ever. */
    renewing: Stream.fromEffectSchedule(renewAll(places, holder, every), Schedule.spaced(every)).pipe(
      supervised("job leases")
    )
  }
})

/** The runs of a process. */
export type JobRuns<R> = Effect.Success<ReturnType<typeof make<R>>>
