/** Jobs and their runs in memory, for tests of what is built on the port. */
import { Clock, Duration, Effect, Layer, PubSub, Stream } from "effect"
import { type HeldRun, type KeptRun, type Occurrence, runId } from "../../domain/JobRun.ts"
import {
  type Decision,
  type Ending,
  type Holder,
  type JobDefinition,
  JobHistory,
  JobNameTaken,
  type KeptJob,
  type Proposal
} from "../../domain/ports/JobHistory.ts"

interface Run extends KeptRun {
  readonly token: bigint
  readonly leasedUntil: number
  readonly losses: number
}

interface Job extends KeptJob {
  readonly changedAt: number
}

/** The jobs and runs of one store. */
const makeState = () => {
  const jobs = new Map<string, Job>()
  const runs = new Map<string, Run>()
  let tokens = 0n
  const put = (run: Run): Run => {
    runs.set(runId(run), run)
    return run
  }
  const openOf = (job: string) =>
    [...runs.values()]
      .filter((run) => run.isOpen && run.job === job)
      .sort((one, other) => one.scheduledFor - other.scheduledFor)
  const hold = (run: Run, { lease, replica }: Holder, now: number): HeldRun => {
    tokens++
    const losses = run.losses + (run.attempt > 0 && run.outcome === undefined ? 1 : 0)
    const held = { attempt: run.attempt + 1, token: tokens, losses, leasedUntil: now + Duration.toMillis(lease) }
    put({ ...run, ...held, replica, startedAt: now, outcome: undefined, finishedAt: undefined, isOpen: true })
    return { job: run.job, scheduledFor: run.scheduledFor, attempt: held.attempt, fencingToken: tokens, losses }
  }
  return { jobs, runs, put, openOf, hold }
}

type State = ReturnType<typeof makeState>

const fresh = (occurrence: Occurrence, now: number): Run => ({
  ...occurrence,
  attempt: 0,
  isManual: false,
  isOpen: true,
  outcome: undefined,
  startedAt: undefined,
  finishedAt: undefined,
  error: undefined,
  result: undefined,
  replica: undefined,
  token: 0n,
  losses: 0,
  leasedUntil: now
})

const skippedRun = (occurrence: Occurrence, reason: string, now: number): Run => ({
  ...fresh(occurrence, now),
  isOpen: false,
  outcome: "skipped",
  finishedAt: now,
  error: reason
})

const decide = (state: State, holder: Holder, proposal: Proposal, now: number): Decision => {
  const { job: name, reason, until } = proposal
  const job = state.jobs.get(name)
  const isOurs = job !== undefined && job.decidedUntil === proposal.decidedUntil && until <= now
  const unchanged = { job: name, decidedUntil: job?.decidedUntil ?? until, run: undefined, skipped: 0, queued: 0 }
  if (!isOurs || job.isPaused || job.isRemoved) return unchanged
  state.jobs.set(name, { ...job, decidedUntil: until })
  const isNew = (scheduledFor: number) => !state.runs.has(runId({ job: name, scheduledFor }))
  const isBusy = state.openOf(name).length > 0
  const overlaps = isBusy && job.overlap === "skip"
  const asked = proposal.run.filter(isNew)
  const skip = [
    ...proposal.skip.filter(isNew).map((at) => [at, reason] as const),
    ...(overlaps ? asked.map((at) => [at, "overlap"] as const) : [])
  ]
  for (const [scheduledFor, why] of skip) state.put(skippedRun({ job: name, scheduledFor }, why, now))
  if (overlaps) return { ...unchanged, decidedUntil: until, skipped: skip.length }
  const opened = asked.map((scheduledFor) => state.put(fresh({ job: name, scheduledFor }, now)))
  const [first] = opened
  const run = isBusy || first === undefined ? undefined : state.hold(first, holder, now)
  const queued = opened.length - (run === undefined ? 0 : 1)
  return { job: name, decidedUntil: until, run, skipped: skip.length, queued }
}

const isHolder = (found: Run | undefined, run: HeldRun): found is Run =>
  found?.isOpen === true && found.token === run.fencingToken

const record = (state: State, { error, isReleased, outcome, result, run }: Ending, now: number): boolean => {
  const found = state.runs.get(runId(run))
  if (!isHolder(found, run)) return false
  state.put({
    ...found,
    attempt: run.attempt,
    isOpen: outcome === undefined || isReleased,
    outcome,
    error,
    result,
    finishedAt: outcome === undefined ? undefined : now,
    leasedUntil: isReleased ? now : found.leasedUntil
  })
  return true
}

const waiting = (state: State, names: ReadonlyArray<string>, now: number, limit: number): ReadonlyArray<Run> =>
  names
    .filter((name) => state.jobs.get(name)?.isPaused !== true)
    .flatMap((name) => state.openOf(name).slice(0, 1))
    .filter((run) => run.leasedUntil <= now)
    .sort((one, other) => one.scheduledFor - other.scheduledFor)
    .slice(0, limit)

const keep = (state: State, job: JobDefinition, now: number): void => {
  const before = state.jobs.get(job.name)
  const isSame = before?.schedule === job.schedule && before.timeZone === job.timeZone && !before.isRemoved
  const decidedUntil = isSame ? before.decidedUntil : Math.max(now, before?.decidedUntil ?? now)
  state.jobs.set(job.name, {
    ...job,
    decidedUntil,
    isPaused: before?.isPaused ?? false,
    isRemoved: false,
    changedAt: now
  })
}

const isOfOtherKind = (before: Job | undefined, job: JobDefinition) =>
  before !== undefined && !before.isRemoved && (before.publishes === undefined) !== (job.publishes === undefined)

const byNewest = (one: KeptRun, other: KeptRun) => other.scheduledFor - one.scheduledFor

type Part<Names extends keyof JobHistory["Service"]> = Pick<JobHistory["Service"], Names>

const timed = <A>(work: (now: number) => A): Effect.Effect<A> => Effect.map(Clock.currentTimeMillis, work)

const jobsOf = (state: State, told: Effect.Effect<unknown>): Part<"register" | "add" | "remove" | "pause" | "jobs"> => {
  const changing = <A>(work: (now: number) => A): Effect.Effect<A> => Effect.tap(timed(work), told)
  const keepAll = (jobs: ReadonlyArray<JobDefinition>) =>
    Effect.gen(function* () {
      const taken = jobs.find((job) => isOfOtherKind(state.jobs.get(job.name), job))
      if (taken !== undefined) return yield* new JobNameTaken({ detail: `the name ${taken.name} is taken` })
      yield* changing((now) => {
        for (const job of jobs) keep(state, job, now)
      })
    })
  return {
    register: keepAll,
    add: (job) => keepAll([job]),
    remove: (name) =>
      changing((now) => {
        const job = state.jobs.get(name)
        if (job?.publishes === undefined || job.isRemoved) return false
        state.jobs.set(name, { ...job, isRemoved: true, changedAt: now })
        for (const run of state.openOf(name).filter(({ attempt }) => attempt === 0))
          state.put(skippedRun(run, "removed", now))
        return true
      }),
    pause: (name, isPaused) =>
      changing((now) => {
        const job = state.jobs.get(name)
        if (job === undefined || job.isRemoved) return false
        const decidedUntil = job.isPaused && !isPaused ? Math.max(now, job.decidedUntil) : job.decidedUntil
        state.jobs.set(name, { ...job, isPaused, decidedUntil, changedAt: now })
        return true
      }),
    jobs: (since) =>
      timed((now) => ({
        now,
        jobs: [...state.jobs.values()].filter((job) => (since === undefined ? !job.isRemoved : job.changedAt >= since))
      }))
  }
}

const holding = (state: State): Part<"decide" | "takeWaiting" | "takeNow" | "renew" | "record"> => ({
  decide: (holder, proposals) =>
    timed((now) => ({ now, decisions: proposals.map((proposal) => decide(state, holder, proposal, now)) })),
  takeWaiting: (holder, names, limit) =>
    timed((now) => waiting(state, names, now, limit).map((run) => state.hold(run, holder, now))),
  takeNow: (holder, job, at) =>
    timed((now) => {
      const occurrence = { job, scheduledFor: at ?? now }
      if (state.runs.has(runId(occurrence)) || state.openOf(job).length > 0) return undefined
      return state.hold(state.put({ ...fresh(occurrence, now), isManual: true }), holder, now)
    }),
  renew: ({ lease }, runs) =>
    timed((now) =>
      runs.filter((run) => {
        const found = state.runs.get(runId(run))
        if (!isHolder(found, run)) return true
        state.put({ ...found, leasedUntil: now + Duration.toMillis(lease) })
        return false
      })
    ),
  record: (endings) =>
    timed((now) => ({
      refused: endings.filter((ending) => !record(state, ending, now)).map(({ run }) => run),
      hasWaiting: endings.some(({ run }) =>
        state.openOf(run.job).some((open) => open.leasedUntil <= now && runId(open) !== runId(run))
      )
    }))
})

const reading = (state: State): Part<"runs" | "lastRuns" | "find" | "forget"> => ({
  runs: ({ job, limit, onlyFailed }) =>
    Effect.sync(() =>
      [...state.runs.values()]
        .filter((run) => job === undefined || run.job === job)
        .filter(({ outcome }) => !onlyFailed || outcome === "failed" || outcome === "timed_out")
        .sort(byNewest)
        .slice(0, limit)
    ),
  lastRuns: (names) =>
    Effect.sync(() =>
      names.flatMap((name) =>
        [...state.runs.values()]
          .filter(({ job }) => job === name)
          .sort(byNewest)
          .slice(0, 1)
      )
    ),
  find: (occurrence) => Effect.sync(() => state.runs.get(runId(occurrence))),
  forget: (age, limit) =>
    timed((now) => {
      const isOld = ({ isOpen, scheduledFor }: Run) => !isOpen && scheduledFor < now - Duration.toMillis(age)
      const old = [...state.runs.values()].filter(isOld).slice(0, limit)
      for (const run of old) state.runs.delete(runId(run))
      return old.length
    })
})

const make = Effect.gen(function* () {
  const state = makeState()
  const changes = yield* PubSub.unbounded<void>()
  return JobHistory.of({
    hints: Stream.fromPubSub(changes),
    ...jobsOf(state, PubSub.publish(changes, undefined)),
    ...holding(state),
    ...reading(state)
  })
})

/** No jobs at first, of its own for each use of the layer. */
export const layer: Layer.Layer<JobHistory> = Layer.effect(JobHistory, make)
