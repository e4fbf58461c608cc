/** The jobs that this process runs, as they were last heard of: what is decided of each, and when it is due next. */
import { Clock, type Duration, Effect, Latch, Result } from "effect"
import { due, type JobRules } from "../domain/CronJob.ts"
import { type JobSchedule, parse } from "../domain/JobSchedule.ts"
import type { Decision, JobDefinition, KeptJob, Proposal } from "../domain/ports/JobHistory.ts"
import type { RetryPolicy } from "../domain/RetryPolicy.ts"
import * as JobAgenda from "./JobAgenda.ts"
import * as JobMetrics from "./JobMetrics.ts"

/** What a job does, whoever declared it. */
export interface Runnable<R> {
  readonly name: string
  readonly timeout: Duration.Duration | undefined
  readonly retry: RetryPolicy
  readonly run: Effect.Effect<unknown, unknown, R>
}

/** A job, what it does, and what its occurrences are decided by. */
interface Entry<R> {
  readonly runnable: Runnable<R>
  readonly rules: JobRules
  decidedUntil: number
}

/** What somebody else is just deciding is looked at again after this. */
const againMillis = 1000

/** A schedule that is the same is not read again: reading thousands holds up what is due meanwhile. */
const scheduleOf = ({ schedule, timeZone }: JobDefinition, before: JobSchedule | undefined) =>
  before?.expression === schedule && before.timeZone === timeZone ? Result.succeed(before) : parse(schedule, timeZone)

const rulesOf = (job: JobDefinition, before: JobSchedule | undefined) =>
  Result.map(
    scheduleOf(job, before),
    (schedule): JobRules => ({ schedule, overlap: job.overlap, catchUp: job.catchUp })
  )

const isUnchanged = <R>({ decidedUntil, rules, runnable }: Entry<R>, kept: KeptJob, given: Runnable<R>): boolean =>
  runnable === given &&
  kept.decidedUntil <= decidedUntil &&
  kept.schedule === rules.schedule.expression &&
  kept.timeZone === rules.schedule.timeZone &&
  kept.overlap === rules.overlap &&
  kept.catchUp === rules.catchUp

/** The store's clock, as far as it is known here. */
const makeStoreClock = () => {
  let aheadMillis = 0
  return {
    /** In milliseconds. */
    now: Effect.map(Clock.currentTimeMillis, (now) => now + aheadMillis),
    /** Asks the store, and takes its time from the answer. */
    timed: <A extends { readonly now: number }, E, R2>(asking: Effect.Effect<A, E, R2>): Effect.Effect<A, E, R2> =>
      Effect.gen(function* () {
        const before = yield* Clock.currentTimeMillis
        const answer = yield* asking
        const after = yield* Clock.currentTimeMillis
        // It was that time there some time in between: what was known before is as good as that allows.
        aheadMillis = Math.min(Math.max(aheadMillis, answer.now - after), answer.now - before)
        return answer
      })
  }
}

/** The jobs and when they are due; `find` gives what a job does, `undefined` if this process does not run it. */
const makeEntries = <R>(find: (job: KeptJob) => Runnable<R> | undefined) => {
  const agenda = JobAgenda.make()
  const entries = new Map<string, Entry<R>>()

  const put = (job: string, entry: Entry<R>): Effect.Effect<void> => {
    const next = entry.rules.schedule.next(entry.decidedUntil)
    agenda.put(job, next)
    return JobMetrics.of(job).next(next)
  }

  const drop = (job: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      agenda.put(job, undefined)
      return entries.delete(job) ? JobMetrics.of(job).next(undefined) : Effect.void
    })

  const enter = (kept: KeptJob): Effect.Effect<void> =>
    Effect.suspend(() => {
      const runnable = kept.isPaused || kept.isRemoved ? undefined : find(kept)
      if (runnable === undefined) return drop(kept.name)
      const before = entries.get(kept.name)
      if (before !== undefined && isUnchanged(before, kept, runnable)) return Effect.void
      const rules = rulesOf(kept, before?.rules.schedule)
      if (Result.isFailure(rules))
        return Effect.andThen(
          drop(kept.name),
          Effect.logWarning(`the job ${kept.name} cannot run: ${rules.failure.message}`)
        )
      // What was heard may be older than what was decided here meanwhile.
      const decidedUntil = Math.max(kept.decidedUntil, before?.decidedUntil ?? kept.decidedUntil)
      const entry = { runnable, rules: rules.success, decidedUntil }
      entries.set(kept.name, entry)
      return put(kept.name, entry)
    })

  const proposalOf = (job: string, now: number, isFull: boolean): ReadonlyArray<Proposal> => {
    const entry = entries.get(job)
    if (entry === undefined) return []
    const found = due(entry.rules, entry.decidedUntil, now)
    if (found === undefined) {
      // Somebody else has decided it since it was put in.
      agenda.put(job, entry.rules.schedule.next(entry.decidedUntil))
      return []
    }
    const { missed, run, until } = found
    const fate = isFull
      ? { run: [], skip: [...missed, ...run], reason: "limit" }
      : { run, skip: missed, reason: "missed" }
    return [{ job, decidedUntil: entry.decidedUntil, until, ...fate }]
  }

  return { agenda, entries, enter, put, proposalOf }
}

/** A book with nothing in it; `find` gives what a job does, `undefined` if this process does not run it. */
export const make = <R>(find: (job: KeptJob) => Runnable<R> | undefined) => {
  const { agenda, enter, entries, proposalOf, put } = makeEntries(find)
  const { now: storeNow, timed } = makeStoreClock()
  const changed = Latch.makeUnsafe(false)
  return {
    names: () => [...entries.keys()],
    runnableOf: (job: string) => entries.get(job)?.runnable,
    wake: (): void => void changed.openUnsafe(),
    now: storeNow,
    timed,
    /** Takes in what was heard of jobs. */
    hear: (jobs: ReadonlyArray<KeptJob>) =>
      Effect.andThen(
        Effect.forEach(jobs, enter, { discard: true }),
        Effect.sync(() => void changed.openUnsafe())
      ),
    /** What is due, for so many jobs at most. */
    takeDue: (now: number, limit: number, isFull: boolean): ReadonlyArray<Proposal> =>
      agenda.take(now, limit).flatMap((job) => proposalOf(job, now, isFull)),
    /** Takes in what was decided. */
    decided: (proposals: ReadonlyArray<Proposal>, decisions: ReadonlyArray<Decision>, now: number) =>
      Effect.forEach(
        decisions,
        ({ decidedUntil, job }, index) => {
          const entry = entries.get(job)
          if (entry === undefined) return Effect.void
          const proposal = proposals[index]
          const isUnknown = decidedUntil === proposal?.decidedUntil
          entry.decidedUntil = decidedUntil
          if (!isUnknown) return put(job, entry)
          // Nobody had decided it: it was asked too early, by a clock that is put right by now, or is just being decided.
          const isEarly = proposal.until > now
          return Effect.sync(() => agenda.put(job, isEarly ? proposal.until : now + againMillis))
        },
        { discard: true }
      ),
    /** What was taken, and of which nothing was heard: it is due as before. */
    putBack: (proposals: ReadonlyArray<Proposal>): void => {
      for (const { job, until } of proposals) if (entries.has(job)) agenda.put(job, until)
    },
    /** Waits until something is due for longer than `patience`, or somebody wakes it: for so long at most. */
    rest: (patience: number, longest: number) =>
      Effect.flatMap(storeNow, (now) => {
        const wait = (agenda.next() ?? Number.POSITIVE_INFINITY) + patience - now
        return wait <= 0 ? Effect.void : Effect.asVoid(Effect.timeoutOption(changed.await, Math.min(wait, longest)))
      }),
    /** Before each look: whatever changes from now on is looked at again. */
    begin: (): void => void changed.closeUnsafe()
  }
}

export type JobBook<R> = ReturnType<typeof make<R>>
