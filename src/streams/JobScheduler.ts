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
import type { HeldRun } from "../domain/JobRun.ts"
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
import * as RunsAhead from "./RunsAhead.ts"
import { Shutdown, untilShutdown } from "./Shutdown.ts"
import * as SkippedJobs from "./SkippedJobs.ts"
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

const skippedOf = (
  proposals: ReadonlyArray<Proposal>,
  decisions: ReadonlyArray<Decision>
): ReadonlyArray<SkippedJobs.Skipped> =>
  decisions.flatMap(({ job, skipped: count }, index) => {
    const proposal = proposals[index]
    return count === 0
      ? []
      : [{ job, count, reason: proposal?.run.length ? "overlap" : (proposal?.reason ?? "missed") }]
  })

/** What a scheduler has in hand. */
interface InHand<R> {
  readonly book: JobBook.JobBook<R>
  readonly runs: JobRuns.JobRuns<R>
  readonly ahead: RunsAhead.RunsAhead<R>
  readonly options: JobSchedulerOptions<R>
}

/** Places for what is due: without those that are due to runs held ahead. */
const freeAt = <R>({ ahead, runs }: InHand<R>, now: number): number => Math.max(0, runs.free() - ahead.countDue(now))

/** A run that is held, and what it does. */
const beginningOf = <R>(run: HeldRun | undefined, runnable: JobBook.Runnable<R> | undefined) =>
  run === undefined || runnable === undefined ? [] : [{ run, runnable }]

/** Begins what was got, but for that whose instant is still to come. */
const beginDue =
  <R>({ ahead }: InHand<R>, begin: JobRuns.Begin<R>): JobRuns.Begin<R> =>
  (got) =>
    Effect.suspend(() => {
      ahead.hold(got.flatMap(({ run }) => (run.isAhead ? [run] : [])))
      return begin(got.filter(({ run }) => !run.isAhead))
    })

/** Begins nothing yet. */
const holdAll =
  <R>({ ahead }: InHand<R>): JobRuns.Begin<R> =>
  (got) =>
    Effect.sync(() => ahead.hold(got.map(({ run }) => run)))

/** Takes up what waits, of this process or of others that are gone. */
const takeWaiting = Effect.fnUntraced(function* <R>(inHand: InHand<R>, now: number) {
  const { book, options, runs } = inHand
  const names = book.names()
  if (names.length === 0) return
  const runnables = new Map(names.map((job) => [job, book.runnableOf(job)]))
  const limit = Math.min(freeAt(inHand, now), jobsAtOnce)
  const history = yield* JobHistory
  const taken = yield* runs.withPlaces(limit, (begin) =>
    Effect.tap(history.takeWaiting(options.holder, names, limit), (held) =>
      beginDue(inHand, begin)(held.flatMap((run) => beginningOf(run, runnables.get(run.job))))
    )
  )
  if (taken.length === limit) runs.expectWaiting()
})

/** Decides with one statement, and begins or holds what it got. */
const decideTogether = Effect.fnUntraced(function* <R>(
  inHand: InHand<R>,
  proposals: ReadonlyArray<Proposal>,
  begin: JobRuns.Begin<R>
) {
  const { book, options, runs } = inHand
  const history = yield* JobHistory
  const runnables = proposals.map(({ job }) => book.runnableOf(job))
  const deciding = book.timed(history.decide(options.holder, proposals))
  const { decisions, now } = yield* Effect.onError(deciding, () => Effect.sync(() => book.putBack(proposals)))
  yield* begin(decisions.flatMap(({ run }, index) => beginningOf(run, runnables[index])))
  book.decided(proposals, decisions, now)
  if (decisions.some(({ queued }) => queued > 0)) runs.expectWaiting()
  yield* SkippedJobs.tell(skippedOf(proposals, decisions), options.maxConcurrent)
})

/** Decides what is due by then, one statement after the other: at the limit, what has waited long enough to be skipped. */
const decideUntil = Effect.fnUntraced(function* <R>(inHand: InHand<R>, now: number) {
  const { book, runs } = inHand
  const { isRequested } = yield* Shutdown
  while (!(yield* isRequested)) {
    const free = freeAt(inHand, now)
    const isFull = free === 0
    // Places are free when what had them is recorded.
    if (isFull) runs.recordNow()
    const proposals = isFull
      ? book.takeDue(now - patienceMillis, jobsAtOnce, isFull)
      : book.takeDue(now, Math.min(free, jobsAtOnce), isFull)
    if (proposals.length === 0) return
    yield* runs.withPlaces(isFull ? 0 : proposals.length, (begin) =>
      decideTogether(inHand, proposals, beginDue(inHand, begin))
    )
  }
})

/** Several at the same time. What one of them cannot decide is no reason to give up what another has been given. */
const sideBySide = <E, R>(deciding: Effect.Effect<void, E, R>) =>
  Effect.flatMap(
    Effect.all(Arr.replicate(Effect.exit(deciding), statementsAtOnce), { concurrency: "unbounded" }),
    (exits) => Effect.forEach(exits, (exit) => exit, { discard: true })
  )

/** Decides what is due now, and begins what it got. */
const decideDue = Effect.fnUntraced(function* <R>(inHand: InHand<R>) {
  const { book, runs } = inHand
  book.begin()
  const now = yield* book.now
  if (freeAt(inHand, now) > 0 && runs.expectsWaiting()) yield* takeWaiting(inHand, now)
  yield* runs.recordingLater(sideBySide(decideUntil(inHand, yield* book.now)))
})

/** Decides what is due in a moment, for as many as there will be places: others may find some elsewhere at the instant. */
const decideAhead = Effect.fnUntraced(function* <R>(inHand: InHand<R>) {
  const { ahead, book, runs } = inHand
  const { isRequested } = yield* Shutdown
  book.beginAhead()
  let coming = 0
  const deciding = Effect.gen(function* () {
    while (!(yield* isRequested)) {
      const now = yield* book.now
      const room = runs.free() - ahead.count() - coming
      if (room <= 0) return book.passAhead(now)
      const proposals = book.takeAhead(now, Math.min(room, jobsAtOnce))
      if (proposals.length === 0) return
      coming += proposals.length
      yield* Effect.ensuring(
        decideTogether(inHand, proposals, holdAll(inHand)),
        Effect.sync(() => {
          coming -= proposals.length
        })
      )
    }
  })
  yield* sideBySide(deciding)
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
    const book = JobBook.make(find, yield* JobMetrics.make)
    const wake = (): void => {
      book.wake()
      ahead.wake()
    }
    const runs = yield* JobRuns.make<R>({ now: book.now, wake }, options, yield* Scope.Scope)
    let seenAt: number | undefined

    const look = Effect.gen(function* () {
      const { jobs, now } = yield* book.timed(history.jobs(seenAt))
      seenAt = now
      yield* book.hear(jobs)
      return now
    })
    const ahead = yield* RunsAhead.make(book, runs, look, { ...options, patienceMillis })
    const inHand = { book, runs, ahead, options }
    const hinted = Stream.tap(history.hints, () => Effect.sync(runs.expectWaiting))
    const looking = Stream.merge(Stream.tick(lookEvery), hinted).pipe(
      Stream.buffer({ capacity: 1, strategy: "sliding" }),
      untilShutdown,
      Stream.mapEffect(() => Effect.asVoid(look)),
      supervised("jobs")
    )
    // Only the rest is cut short by a stop: what is decided is begun.
    const resting = Effect.flatMap(book.now, (now) =>
      book.rest(freeAt(inHand, now) === 0 ? patienceMillis : 0, longestRest)
    )
    const deciding = Stream.fromEffectRepeat(resting).pipe(
      untilShutdown,
      Stream.mapEffect(() => decideDue(inHand)),
      supervised(ownName)
    )
    const decidingAhead = Stream.fromEffectRepeat(Effect.suspend(() => book.restAhead(longestRest))).pipe(
      untilShutdown,
      Stream.mapEffect(() => decideAhead(inHand)),
      supervised("jobs due in a moment")
    )
    const beginning = Stream.fromEffectRepeat(Effect.suspend(() => ahead.rest(longestRest))).pipe(
      untilShutdown,
      Stream.mapEffect(() => ahead.meet),
      supervised("runs ahead")
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
    const work = Effect.forEach([looking, deciding, decidingAhead, beginning, reminding, asked], Stream.runDrain, {
      concurrency: "unbounded",
      discard: true
    })
    const drained = Effect.andThen(ahead.giveBack, runs.drain(options.drain))
    const beside = Effect.forEach([runs.recording, runs.renewing], Stream.runDrain, { concurrency: "unbounded" })
    yield* Effect.raceFirst(Effect.andThen(work, drained), Effect.andThen(beside, Effect.never))
  }).pipe(Effect.scoped)
