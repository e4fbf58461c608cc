/** Jobs and their runs in memory, for tests of what is built on the port. */
import { Clock, Duration, Effect, Layer, PubSub, Stream } from "effect"
import { aheadMillis, type HeldRun, type KeptRun, type Occurrence, runId } from "../../domain/JobRun.ts"
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
    const startedAt = run.isManual ? now : Math.max(now, run.scheduledFor)
    const leasedUntil = startedAt + Duration.toMillis(lease)
    const held = { attempt: run.attempt + 1, token: tokens, losses, leasedUntil, startedAt }
    const open = { replica, outcome: undefined, finishedAt: undefined, isOpen: true }
    const { job, scheduledFor } = put({ ...run, ...held, ...open })
    return { job, scheduledFor, attempt: held.attempt, fencingToken: tokens, losses, isAhead: startedAt > now }
  }
  return { jobs, runs, put, openOf, hold }
}

type State = ReturnType<typeof makeState>

/** Tells runs from those that are held for an instant that is still to come. */
const hasCome = (now: number) => (run: Run) => (run.startedAt ?? 0) <= now

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
  const open = state.openOf(name)
  const isDue = until <= now || (until <= now + aheadMillis && open.length === 0)
  const isOurs = job !== undefined && job.decidedUntil === proposal.decidedUntil && isDue
  const unchanged = { job: name, decidedUntil: job?.decidedUntil ?? until, run: undefined, skipped: 0, queued: 0 }
  if (!isOurs || job.isPaused || job.isRemoved) return unchanged
  state.jobs.set(name, { ...job, decidedUntil: until })
  const isNew = (scheduledFor: number) => !state.runs.has(runId({ job: name, scheduledFor }))
  const isBusy = open.some(hasCome(now))
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

const record = (state: State, { error, isReleased, outcome, result, run, startedAt }: Ending, now: number): boolean => {
  const found = state.runs.get(runId(run))
  if (!isHolder(found, run)) return false
  state.put({
    ...found,
    attempt: run.attempt,
    isOpen: outcome === undefined || isReleased,
    outcome,
    error,
    result,
    startedAt: run.attempt === 0 ? undefined : (startedAt ?? found.startedAt),
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
  state.jobs.set(job.name, {
    ...job,
    decidedUntil: isSame ? before.decidedUntil : now,
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

const listing = (state: State): Part<"jobs" | "page" | "job"> => {
  const present = () => [...state.jobs.values()].filter(({ isRemoved }) => !isRemoved)
  return {
    jobs: (since) =>
      timed((now) => ({
        now,
        jobs: since === undefined ? present() : [...state.jobs.values()].filter((job) => job.changedAt >= since)
      })),
    page: (asked, size) =>
      timed((now) => {
        const all = present().sort((one, other) => (one.name < other.name ? -1 : 1))
        const pages = Math.max(1, Math.ceil(all.length / size))
        const page = Math.min(asked, pages)
        return { now, page, pages, jobs: all.slice((page - 1) * size, page * size) }
      }),
    job: (name) => Effect.sync(() => present().find((job) => job.name === name))
  }
}

const changing = (state: State, told: Effect.Effect<unknown>): Part<"register" | "add" | "remove" | "pause"> => {
  const change = <A>(work: (now: number) => A): Effect.Effect<A> => Effect.tap(timed(work), told)
  const keepAll = (jobs: ReadonlyArray<JobDefinition>) =>
    Effect.gen(function* () {
      const taken = jobs.find((job) => isOfOtherKind(state.jobs.get(job.name), job))
      if (taken !== undefined) return yield* new JobNameTaken({ detail: `the name ${taken.name} is taken` })
      yield* change((now) => {
        for (const job of jobs) keep(state, job, now)
      })
    })
  return {
    register: keepAll,
    add: (job) => keepAll([job]),
    remove: (name) =>
      change((now) => {
        const job = state.jobs.get(name)
        if (job?.publishes === undefined || job.isRemoved) return false
        state.jobs.set(name, { ...job, isRemoved: true, changedAt: now })
        for (const run of state.openOf(name).filter(({ attempt }) => attempt === 0))
          state.put(skippedRun(run, "removed", now))
        return true
      }),
    pause: (name, isPaused) =>
      change((now) => {
        const job = state.jobs.get(name)
        if (job === undefined || job.isRemoved) return false
        const decidedUntil = job.isPaused && !isPaused ? Math.max(now, job.decidedUntil) : job.decidedUntil
        state.jobs.set(name, { ...job, isPaused, decidedUntil, changedAt: now })
        return true
      })
  }
}

const holding = (
  state: State,
  told: Effect.Effect<unknown>
): Part<"decide" | "takeWaiting" | "takeNow" | "renew" | "record" | "overlapping"> => ({
  decide: (holder, proposals) =>
    timed((now) => ({ now, decisions: proposals.map((proposal) => decide(state, holder, proposal, now)) })),
  takeWaiting: (holder, names, limit) =>
    timed((now) => waiting(state, names, now, limit).map((run) => state.hold(run, holder, now))),
  takeNow: (holder, job, at) =>
    timed((now) => {
      const occurrence = { job, scheduledFor: at ?? now }
      if (state.runs.has(runId(occurrence)) || state.openOf(job).some(hasCome(now))) return undefined
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
    })).pipe(Effect.tap(endings.some(({ isReleased }) => isReleased) ? told : Effect.void)),
  overlapping: Effect.sync(() => [...state.jobs.keys()].filter((name) => state.openOf(name).length > 1))
})

const newestOf = (state: State, names: ReadonlyArray<string>, most: number, isAsked: (run: Run) => boolean) =>
  names.flatMap((name) =>
    [...state.runs.values()]
      .filter((run) => run.job === name && isAsked(run))
      .sort(byNewest)
      .slice(0, most)
  )

const reading = (state: State): Part<"runs" | "lastRuns" | "countRuns" | "find" | "forget"> => ({
  runs: ({ job, limit, onlyFailed }) =>
    timed((now) =>
      [...state.runs.values()]
        .filter(hasCome(now))
        .filter((run) => job === undefined || run.job === job)
        .filter(({ outcome }) => !onlyFailed || outcome === "failed" || outcome === "timed_out")
        .sort(byNewest)
        .slice(0, limit)
    ),
  lastRuns: (names, most) => timed((now) => newestOf(state, names, most, hasCome(now))),
  countRuns: ({ after, jobs, most, spanMillis, until }) =>
    Effect.sync(() => {
      const isAsked = ({ scheduledFor }: Run) => scheduledFor > after && scheduledFor <= until
      const asked = newestOf(state, jobs, most, isAsked).map(({ job, outcome, scheduledFor }) => ({
        job,
        outcome,
        span: Math.ceil((scheduledFor - after) / spanMillis) - 1
      }))
      const groups = Map.groupBy(asked, ({ job, outcome, span }) => `${job} ${span} ${outcome}`)
      return [...groups.values()].flatMap((same) => same.slice(0, 1).map((one) => ({ ...one, count: same.length })))
    }),
  find: (occurrence) => Effect.sync(() => state.runs.get(runId(occurrence))),
  forget: (age, limit) =>
    timed((now) => {
      const keptSince = now - Duration.toMillis(age)
      const isOld = ({ attempt, isOpen, leasedUntil, scheduledFor }: Run) =>
        scheduledFor < keptSince && (!isOpen || (attempt > 0 && leasedUntil < keptSince))
      const old = [...state.runs.values()].filter(isOld).slice(0, limit)
      for (const run of old) state.runs.delete(runId(run))
      return old.length
    })
})

const make = Effect.gen(function* () {
  const state = makeState()
  const changes = yield* PubSub.unbounded<void>()
  const told = PubSub.publish(changes, undefined)
  return JobHistory.of({
    hints: Stream.fromPubSub(changes),
    ...listing(state),
    ...changing(state, told),
    ...holding(state, told),
    ...reading(state)
  })
})

/** No jobs at first, of its own for each use of the layer. */
export const layer: Layer.Layer<JobHistory> = Layer.effect(JobHistory, make)
