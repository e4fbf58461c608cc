/**
 * Runs that are held a moment before their instant, so that thousands can begin at it.
 *
 * ## Guarantees
 * - None begins before its instant, by the store's clock.
 * - At its instant, the store is asked what has changed: a run does not begin if its job is paused, removed or on another
 *   schedule by then, nor beside another run of it.
 * - Places are taken at the instant: what finds none within its second is skipped.
 * - Whoever wakes so late that another may have a run does not begin it.
 * - Asked to stop, it gives them back as they were: whoever takes one up begins it as the same attempt.
 */
import { Array as Arr, Clock, Effect } from "effect"
import { type Fate, fateOf, type JobRules } from "../domain/CronJob.ts"
import type { HeldRun } from "../domain/JobRun.ts"
import { type Ending, JobHistory } from "../domain/ports/JobHistory.ts"
import type { StoreError } from "../domain/StoreError.ts"
import * as Alarm from "./Alarm.ts"
import type { JobBook } from "./JobBook.ts"
import * as JobRuns from "./JobRuns.ts"
import { Shutdown } from "./Shutdown.ts"
import * as SkippedJobs from "./SkippedJobs.ts"

/** A run, and what its job was like when it was held. */
interface Held {
  readonly run: HeldRun
  readonly rules: JobRules | undefined
  /** When it is looked at next: at its instant, and once more if there was no place for it. */
  lookAt: number
}

/** What becomes of one at its instant; `late`: its lease may be over, `limit`: there was no place for it in time. */
type Verdict = Fate | "late" | "limit"

/** Runs in one statement. */
const batchSize = 500

const neverBegun = (run: HeldRun): Ending => ({
  run: { ...run, attempt: 0 },
  outcome: undefined,
  isReleased: true,
  startedAt: undefined,
  error: undefined,
  result: undefined
})

const endingOf = (run: HeldRun, verdict: Verdict): Ending =>
  verdict === "waits" || verdict === "late"
    ? neverBegun(run)
    : { ...neverBegun(run), outcome: "skipped", isReleased: false, error: verdict }

/** What is held, by its fencing token. */
const makeHeld = () => {
  const held = new Map<bigint, Held>()
  return {
    held,
    countDue: (now: number): number => {
      let count = 0
      for (const { run } of held.values()) if (run.scheduledFor <= now) count += 1
      return count
    },
    /** When some are to be looked at next. */
    next: (): number => {
      let first = Number.POSITIVE_INFINITY
      for (const { lookAt } of held.values()) first = Math.min(first, lookAt)
      return first
    },
    /** All that is due is to be looked at again. */
    lookAgain: (): void => {
      for (const one of held.values()) one.lookAt = one.run.scheduledFor
    },
    takeAll: (): ReadonlyArray<HeldRun> => {
      const all = [...held.values()].map(({ run }) => run)
      held.clear()
      return all
    }
  }
}

export interface RunsAheadOptions extends JobRuns.JobRunsOptions {
  /** How long a run waits for a free place. */
  readonly patienceMillis: number
}

/** None yet; `look` hears of jobs that have changed, and gives the store's time from before it did. */
export const make = Effect.fnUntraced(function* <R>(
  book: JobBook<R>,
  runs: JobRuns.JobRuns<R>,
  look: Effect.Effect<number, StoreError>,
  options: RunsAheadOptions
) {
  const history = yield* JobHistory
  const { isRequestedUnsafe } = yield* Shutdown
  const alarm = Alarm.make(book.now)
  const { countDue, held, lookAgain, next, takeAll } = makeHeld()
  const usableMillis = Number(JobRuns.usableNanosOf(options.holder)) / 1e6

  const verdictOf = ({ rules, run }: Held, late: number, overlapping: ReadonlySet<string>): Verdict => {
    if (late >= usableMillis) return "late"
    const known = book.rulesOf(run.job)
    const isOverlapping = overlapping.has(run.job)
    const isSame = known !== undefined && known === rules && !isOverlapping
    return isSame ? "begins" : fateOf(known, run.scheduledFor, isOverlapping)
  }

  /** What becomes of what is due, `spentMillis` after the store was asked at the latest. */
  const verdictsOf = (now: number, spentMillis: number, overlapping: ReadonlySet<string>) => {
    const begun: Array<HeldRun> = []
    const settled: Array<readonly [HeldRun, Verdict]> = []
    let free = runs.free()
    for (const one of held.values()) {
      const late = now - one.run.scheduledFor
      if (late < 0) continue
      const verdict = verdictOf(one, late + spentMillis, overlapping)
      if (verdict !== "begins") settled.push([one.run, verdict])
      else if (free-- > 0) begun.push(one.run)
      else if (late >= options.patienceMillis) settled.push([one.run, "limit"])
      else one.lookAt = one.run.scheduledFor + options.patienceMillis
    }
    return { begun, settled }
  }

  const settle = Effect.fnUntraced(function* (settled: ReadonlyArray<readonly [HeldRun, Verdict]>) {
    for (const some of Arr.chunksOf(settled, batchSize)) {
      yield* history.record(some.map(([run, verdict]) => endingOf(run, verdict)))
      for (const [run] of some) held.delete(run.fencingToken)
      const skipped = some.map(([{ job }, verdict]) => ({ job, count: 1, reason: verdict }))
      yield* SkippedJobs.tell(
        skipped.filter(({ reason }) => reason !== "waits" && reason !== "late"),
        options.maxConcurrent
      )
    }
    if (settled.some(([, verdict]) => verdict === "late")) runs.expectWaiting()
  })

  /** Begins what is due, unless something has changed. */
  const meet = Effect.gen(function* () {
    alarm.begin()
    if (next() > (yield* book.now)) return
    const askedAt = yield* Clock.currentTimeNanos
    const [now, overlapping] = yield* Effect.all([look, history.overlapping], { concurrency: "unbounded" })
    const spentNanos = (yield* Clock.currentTimeNanos) - askedAt
    if (isRequestedUnsafe()) return
    const { begun, settled } = verdictsOf(now, Number(spentNanos) / 1e6, new Set(overlapping))
    let longestLate = 0
    const beginnings = begun.flatMap((run) => {
      longestLate = Math.max(longestLate, now - run.scheduledFor)
      const runnable = book.runnableOf(run.job)
      return held.delete(run.fencingToken) && runnable !== undefined ? [{ run, runnable }] : []
    })
    const begin = runs.beginHeld(beginnings, askedAt - BigInt(Math.round(longestLate * 1e6)))
    yield* runs.recordingLater(begin)
    // Places that are left are for what else is due.
    book.wake()
    yield* settle(settled)
  })

  return {
    /** All of them, and then looks once when the first is due: thousands are held at a time. */
    hold: (runs: ReadonlyArray<HeldRun>): void => {
      for (const run of runs)
        held.set(run.fencingToken, { run, rules: book.rulesOf(run.job), lookAt: run.scheduledFor })
      if (runs.length > 0) alarm.wake()
    },
    /** How many are held. */
    count: () => held.size,
    /** How many are due, and have no place yet. */
    countDue,
    /** Somebody may have left a place. */
    wake: (): void => {
      lookAgain()
      alarm.wake()
    },
    /** Waits until some are due, or may find a place. */
    rest: (longest: number) => alarm.rest(next(), longest),
    meet,
    /** Gives all of them back; what the store does not take up in time is taken over later. */
    giveBack: Effect.suspend(() => {
      const left = Arr.chunksOf(takeAll().map(neverBegun), batchSize)
      const releasing = Effect.forEach(left, history.record, { discard: true })
      return Effect.ignore(Effect.timeoutOption(releasing, JobRuns.longestRelease))
    })
  }
})

export type RunsAhead<R> = Effect.Success<ReturnType<typeof make<R>>>
