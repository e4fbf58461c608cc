/**
 * Jobs on their schedules: what is due is decided and held, for many jobs at a time; what is held is run.
 *
 * ## Guarantees
 * - Each occurrence has one run, however many schedulers there are, and whichever of them dies.
 * - A scheduler whose clock is wrong neither doubles nor misses an occurrence: time is the database's.
 * - At the limit of runs, an occurrence waits for a moment for a free place, here or elsewhere; then it is skipped, with a
 *   warning, and kept as such.
 * - Asked to stop, it begins nothing more, lets what goes on end for so long, then interrupts and releases it.
 */
import { Array as Arr, type Duration, Effect, Scope, Stream } from "effect"
import {
  type Decision,
  type JobDefinition,
  JobHistory,
  type KeptJob,
  type Proposal
} from "../domain/ports/JobHistory.ts"
import type { Any, Job } from "./Job.ts"
import * as JobBook from "./JobBook.ts"
import { check } from "./JobChecks.ts"
import * as JobMetrics from "./JobMetrics.ts"
import type { JobRequests } from "./JobRequests.ts"
import * as JobRuns from "./JobRuns.ts"
import { Shutdown, untilShutdown } from "./Shutdown.ts"
import { Supervisor, supervised } from "./Supervisor.ts"

export interface JobSchedulerOptions<R> extends JobRuns.JobRunsOptions {
  readonly jobs: ReadonlyArray<Job<R>>
  /** What a job does that was added by hand; `undefined`: those are not run here. */
  readonly added: ((job: KeptJob) => JobBook.Runnable<R>) | undefined
  /** Where it is asked for runs beside the schedules. */
  readonly requests: JobRequests<R>
  /** The longest that runs may go on once it is asked to stop. */
  readonly drain: Duration.Duration
}

/** Jobs in one statement: they start when it has been answered. */
const jobsAtOnce = 500

/** While some begin, others are being decided. */
const statementsAtOnce = 3

/** How long an occurrence waits for a free place before it is skipped. */
const patienceMillis = 1000

/** What has changed is looked for so often, without a hint; one makes it quicker. */
const lookEvery = "5 seconds"

/** Of others that have died, or stopped: as soon as this. */
const waitingEvery = "2 seconds"

/** However far away the next occurrence is: clocks are put right. */
const longestRest = 30_000

/** A declared job as everybody is to know it. */
export const definitionOf = ({ catchUp, name, overlap, schedule, timeZone }: Any): JobDefinition => ({
  name,
  schedule,
  timeZone,
  overlap,
  catchUp,
  publishes: undefined
})

/** What is said of jobs that were skipped at the limit: a few by name. */
const named = (jobs: ReadonlyArray<string>): string => {
  const some = jobs.slice(0, 5).join(", ")
  return jobs.length <= 5 ? some : `${some} and ${jobs.length - 5} more`
}

const tellSkipped = Effect.fnUntraced(function* (
  proposals: ReadonlyArray<Proposal>,
  decisions: ReadonlyArray<Decision>,
  maxConcurrent: number
) {
  const skipped = decisions.flatMap(({ job, skipped: count }, index) =>
    count === 0 ? [] : [{ job, count, reason: proposals[index]?.run.length ? "overlap" : proposals[index]?.reason }]
  )
  for (const { count, job } of skipped) yield* JobMetrics.of(job).ended("skipped", count)
  for (const [reason, all] of Map.groupBy(skipped, (one) => one.reason)) {
    const jobs = named(all.map(({ job }) => job))
    const why = {
      limit: `skipped, since ${maxConcurrent} jobs are running (WORKER_MAX_CONCURRENT_JOBS): ${jobs}`,
      missed: `not caught up with, and kept as skipped: occurrences of ${jobs}`,
      overlap: `skipped, since an earlier run goes on or waits: ${jobs}`
    }[reason ?? "missed"]
    yield* Effect.logWarning(why ?? `skipped: ${jobs}`)
  }
})

/** Takes up what waits, of this process or of others that are gone. */
const takeWaiting = Effect.fnUntraced(function* <R>(
  book: JobBook.JobBook<R>,
  runs: JobRuns.JobRuns<R>,
  { holder }: JobSchedulerOptions<R>
) {
  const names = book.names()
  if (names.length === 0) return
  const limit = Math.min(runs.free(), jobsAtOnce)
  const history = yield* JobHistory
  const taken = yield* runs.withPlaces(limit, (begin) =>
    Effect.tap(history.takeWaiting(holder, names, limit), (held) => begin(runs.known(held)))
  )
  if (taken.length === limit) runs.expectWaiting()
})

/** Decides with one statement, and begins what it got. */
const decideTogether = Effect.fnUntraced(function* <R>(
  book: JobBook.JobBook<R>,
  runs: JobRuns.JobRuns<R>,
  options: JobSchedulerOptions<R>,
  proposals: ReadonlyArray<Proposal>,
  begin: JobRuns.Begin<R>
) {
  const history = yield* JobHistory
  const deciding = book.timed(history.decide(options.holder, proposals))
  const { decisions, now } = yield* Effect.onError(deciding, () => Effect.sync(() => book.putBack(proposals)))
  yield* book.decided(proposals, decisions, now)
  yield* begin(runs.known(decisions.flatMap(({ run }) => (run === undefined ? [] : [run]))))
  if (decisions.some(({ queued }) => queued > 0)) runs.expectWaiting()
  yield* tellSkipped(proposals, decisions, options.maxConcurrent)
})

/** Decides what is due by then, one statement after the other: at the limit, what has waited long enough to be skipped. */
const decideUntil = Effect.fnUntraced(function* <R>(
  book: JobBook.JobBook<R>,
  runs: JobRuns.JobRuns<R>,
  options: JobSchedulerOptions<R>,
  now: number
) {
  const { isRequested } = yield* Shutdown
  while (!(yield* isRequested)) {
    const free = runs.free()
    const isFull = free === 0
    const proposals = isFull
      ? book.takeDue(now - patienceMillis, jobsAtOnce, isFull)
      : book.takeDue(now, Math.min(free, jobsAtOnce), isFull)
    if (proposals.length === 0) return
    yield* runs.withPlaces(isFull ? 0 : proposals.length, (begin) =>
      decideTogether(book, runs, options, proposals, begin)
    )
  }
})

/** Decides what is due now, and begins what it got. */
const decideDue = Effect.fnUntraced(function* <R>(
  book: JobBook.JobBook<R>,
  runs: JobRuns.JobRuns<R>,
  options: JobSchedulerOptions<R>
) {
  book.begin()
  if (runs.free() > 0 && runs.expectsWaiting()) yield* takeWaiting(book, runs, options)
  const deciding = decideUntil(book, runs, options, yield* book.now)
  // What one of them cannot decide is no reason to give up what another has been given.
  const exits = yield* Effect.all(Arr.replicate(Effect.exit(deciding), statementsAtOnce), { concurrency: "unbounded" })
  for (const exit of exits) yield* exit
})

/** As what decides is called among the streams of a process. */
const ownName = "job scheduler"

/** Says that a scheduler is going to run here: the process is not ready before it knows its jobs. */
export const announce: Effect.Effect<void, never, Supervisor> = Supervisor.use(({ report }) =>
  report(ownName, "starting")
)

/** Runs jobs until somebody asks to stop. */
export const jobScheduler = <R>(options: JobSchedulerOptions<R>) =>
  Effect.gen(function* () {
    yield* check(options.jobs)
    const history = yield* JobHistory
    const shutdown = yield* Shutdown
    const declared = new Map(options.jobs.map((job) => [job.name, job]))
    const find = (job: KeptJob): JobBook.Runnable<R> | undefined =>
      job.publishes === undefined ? declared.get(job.name) : options.added?.(job)
    const book = JobBook.make(find)
    const runs = yield* JobRuns.make(book, options, yield* Scope.Scope)
    let seenAt: number | undefined

    const look = Effect.gen(function* () {
      const { jobs, now } = yield* book.timed(history.jobs(seenAt))
      seenAt = now
      yield* book.hear(jobs)
    })
    const looking = Stream.merge(Stream.tick(lookEvery), history.hints).pipe(
      Stream.buffer({ capacity: 1, strategy: "sliding" }),
      untilShutdown,
      Stream.mapEffect(() => look),
      supervised("jobs")
    )
    // Only the rest is cut short by a stop: what is decided is begun.
    const resting = Effect.suspend(() => book.rest(runs.free() === 0 ? patienceMillis : 0, longestRest))
    const deciding = Stream.fromEffectRepeat(resting).pipe(
      untilShutdown,
      Stream.mapEffect(() => decideDue(book, runs, options)),
      supervised(ownName)
    )
    const reminding = Stream.tick(waitingEvery).pipe(
      untilShutdown,
      Stream.mapEffect(() => Effect.sync(runs.expectWaiting)),
      supervised("waiting jobs")
    )
    const registered = Stream.fromEffect(Effect.andThen(history.register(options.jobs.map(definitionOf)), look)).pipe(
      supervised("jobs")
    )

    yield* Stream.runDrain(registered)
    if (yield* shutdown.isRequested) return
    const asked = options.requests.answering(runs, options.holder)
    const work = Effect.forEach([looking, deciding, reminding, asked], Stream.runDrain, {
      concurrency: "unbounded",
      discard: true
    })
    const beside = Effect.forEach([runs.recording, runs.renewing], Stream.runDrain, { concurrency: "unbounded" })
    yield* Effect.raceFirst(Effect.andThen(work, runs.drain(options.drain)), Effect.andThen(beside, Effect.never))
  }).pipe(Effect.scoped)
