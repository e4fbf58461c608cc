/** The jobs that this process runs, as they were last heard of: what is decided of each, and when it is due next. */
import { Clock, type Duration, Effect, Result } from "effect"
import { due, type JobRules } from "../domain/CronJob.ts"
import { aheadMillis } from "../domain/JobRun.ts"
import { type JobSchedule, parse } from "../domain/JobSchedule.ts"
import type { Decision, JobDefinition, KeptJob, Proposal } from "../domain/ports/JobHistory.ts"
import type { RetryPolicy } from "../domain/RetryPolicy.ts"
import * as Alarm from "./Alarm.ts"
import * as JobAgenda from "./JobAgenda.ts"
import type { JobMetrics } from "./JobMetrics.ts"

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

/**
 * When an occurrence may be decided ahead of its instant. Never if the one before is close: its run may still go on, and
 * such an occurrence is decided when it is due.
 */
const aheadOf = (decidedUntil: number, next: number | undefined): number | undefined =>
  next === undefined || next - decidedUntil <= 2 * aheadMillis ? undefined : next - aheadMillis

const isUnchanged = <R>({ decidedUntil, rules, runnable }: Entry<R>, kept: KeptJob, given: Runnable<R>): boolean =>
  runnable === given &&
  kept.decidedUntil <= decidedUntil &&
  kept.schedule === rules.schedule.expression &&
  kept.timeZone === rules.schedule.timeZone &&
  kept.overlap === rules.overlap &&
  kept.catchUp === rules.catchUp

/** The store's clock, as far as it is known here. */
const makeStoreClock = () => {
  let differenceMillis = 0
  return {
    /** In milliseconds. */
    now: Effect.map(Clock.currentTimeMillis, (now) => now + differenceMillis),
    /** Asks the store, and takes its time from the answer. */
    timed: <A extends { readonly now: number }, E, R2>(asking: Effect.Effect<A, E, R2>): Effect.Effect<A, E, R2> =>
      Effect.gen(function* () {
        const before = yield* Clock.currentTimeMillis
        const answer = yield* asking
        const after = yield* Clock.currentTimeMillis
        // It was that time there some time in between: what was known before is as good as that allows.
        differenceMillis = Math.min(Math.max(differenceMillis, answer.now - after), answer.now - before)
        return answer
      })
  }
}

/** The jobs and when they are due; `find` gives what a job does, `undefined` if this process does not run it. */
const makeEntries = <R>(find: (job: KeptJob) => Runnable<R> | undefined, metrics: JobMetrics) => {
  const agenda = JobAgenda.make()
  const ahead = JobAgenda.make()
  const entries = new Map<string, Entry<R>>()

  const put = (job: string, entry: Entry<R>): void => {
    const next = entry.rules.schedule.next(entry.decidedUntil)
    agenda.put(job, next)
    ahead.put(job, aheadOf(entry.decidedUntil, next))
    metrics.next(job, next)
  }

  const drop = (job: string): void => {
    agenda.put(job, undefined)
    ahead.put(job, undefined)
    if (entries.delete(job)) metrics.next(job, undefined)
  }

  const enter = (kept: KeptJob): Effect.Effect<void> =>
    Effect.suspend(() => {
      const runnable = kept.isPaused || kept.isRemoved ? undefined : find(kept)
      if (runnable === undefined) {
        drop(kept.name)
        return Effect.void
      }
      const before = entries.get(kept.name)
      if (before !== undefined && isUnchanged(before, kept, runnable)) return Effect.void
      const rules = rulesOf(kept, before?.rules.schedule)
      if (Result.isFailure(rules)) {
        drop(kept.name)
        return Effect.logWarning(`the job ${kept.name} cannot run: ${rules.failure.message}`)
      }
      // What was heard may be older than what was decided here meanwhile; but another schedule begins anew.
      const known = before?.rules.schedule === rules.success.schedule ? before.decidedUntil : kept.decidedUntil
      const decidedUntil = Math.max(kept.decidedUntil, known)
      const entry = { runnable, rules: rules.success, decidedUntil }
      entries.set(kept.name, entry)
      put(kept.name, entry)
      return Effect.void
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

  const proposalAhead = (job: string, now: number): ReadonlyArray<Proposal> => {
    const entry = entries.get(job)
    const next = entry?.rules.schedule.next(entry.decidedUntil)
    if (entry === undefined || next === undefined || next <= now) return []
    // It is due again only if this comes to nothing.
    agenda.put(job, undefined)
    return [{ job, decidedUntil: entry.decidedUntil, until: next, run: [next], skip: [], reason: "missed" }]
  }

  return { agenda, ahead, entries, enter, put, proposalOf, proposalAhead }
}

/** A book with nothing in it; `find` gives what a job does, `undefined` if this process does not run it. */
export const make = <R>(find: (job: KeptJob) => Runnable<R> | undefined, metrics: JobMetrics) => {
  const { agenda, ahead, enter, entries, proposalAhead, proposalOf, put } = makeEntries(find, metrics)
  const { now: storeNow, timed } = makeStoreClock()
  const [due, soon] = [Alarm.make(storeNow), Alarm.make(storeNow)]
  return {
    names: () => [...entries.keys()],
    /** What a job does: who asks the store for runs goes by what was so then, though one is paused meanwhile. */
    runnableOf: (job: string): Runnable<R> | undefined => entries.get(job)?.runnable,
    rulesOf: (job: string): JobRules | undefined => entries.get(job)?.rules,
    wake: due.wake,
    now: storeNow,
    timed,
    /** Takes in what was heard of jobs. */
    hear: (jobs: ReadonlyArray<KeptJob>) =>
      Effect.andThen(
        Effect.forEach(jobs, enter, { discard: true }),
        Effect.sync(() => {
          due.wake()
          soon.wake()
        })
      ),
    /** What is due, for so many jobs at most. */
    takeDue: (now: number, limit: number, isFull: boolean): ReadonlyArray<Proposal> =>
      agenda.take(now, limit).flatMap((job) => proposalOf(job, now, isFull)),
    /** What is due in a moment, for so many jobs at most: each occurrence once. */
    takeAhead: (now: number, limit: number): ReadonlyArray<Proposal> =>
      ahead.take(now, limit).flatMap((job) => proposalAhead(job, now)),
    /** What is due in a moment is decided when it is due. */
    passAhead: (now: number): void => void ahead.take(now, Number.POSITIVE_INFINITY),
    /** Takes in what was decided. */
    decided: (proposals: ReadonlyArray<Proposal>, decisions: ReadonlyArray<Decision>, now: number): void => {
      for (const [index, { decidedUntil, job }] of decisions.entries()) {
        const [entry, proposal] = [entries.get(job), proposals[index]]
        if (entry === undefined) continue
        const isUnknown = decidedUntil === proposal?.decidedUntil
        entry.decidedUntil = decidedUntil
        // Nobody had decided it: it was asked too early, by a clock that is put right by now, or is just being decided.
        if (isUnknown) agenda.put(job, proposal.until > now ? proposal.until : now + againMillis)
        else put(job, entry)
      }
      soon.wake()
    },
    /** What was taken, and of which nothing was heard: it is due as before. */
    putBack: (proposals: ReadonlyArray<Proposal>): void => {
      for (const { job, until } of proposals) if (entries.has(job)) agenda.put(job, until)
    },
    /** Waits until something is due for longer than `patience`, or somebody wakes it: for so long at most. */
    rest: (patience: number, longest: number) =>
      due.rest((agenda.next() ?? Number.POSITIVE_INFINITY) + patience, longest),
    /** Before each look: whatever changes from now on is looked at again. */
    begin: due.begin,
    /** Waits until something is due in a moment, or there is more to know: for so long at most. */
    restAhead: (longest: number) => soon.rest(ahead.next(), longest),
    /** Before each look ahead. */
    beginAhead: soon.begin
  }
}

export type JobBook<R> = ReturnType<typeof make<R>>
