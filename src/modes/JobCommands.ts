/** `jobs` and `runjob`: what operators see of jobs, and do about them. */
import { Clock, Console, Effect, Layer, Option, Predicate, Result, Schema } from "effect"
import type { CatchUp, Overlap } from "../domain/CronJob.ts"
import { type KeptRun, runId } from "../domain/JobRun.ts"
import { following, parse } from "../domain/JobSchedule.ts"
import { endOf, nextOf, shownIn, tookOf } from "../domain/JobText.ts"
import type { Broker } from "../domain/ports/Broker.ts"
import { JobHistory, type JobNameTaken, type KeptJob } from "../domain/ports/JobHistory.ts"
import type { StoreError } from "../domain/StoreError.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import { addedJob } from "../streams/AddedJobs.ts"
import type { Any } from "../streams/Job.ts"
import type { Runnable } from "../streams/JobBook.ts"
import { JobMistake, problemsOf } from "../streams/JobChecks.ts"
import { definitionOf } from "../streams/JobScheduler.ts"
import { runJobOnce } from "../streams/RunJobOnce.ts"
import { jobModulePath, registeredJobs, UnknownJob } from "./RegisteredJobs.ts"
import { replica } from "./Scheduler.ts"
import { databaseOnly, serviceSettings, services } from "./Services.ts"
import { cards, table } from "./Table.ts"
import { world } from "./World.ts"
import { WrongUsage } from "./WrongUsage.ts"

const settings = Settings.all({ services: Settings.withDatabase("scheduler", databaseOnly), log: Settings.logSettings })

const withHistory = <A, E>(use: (history: JobHistory["Service"]) => Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const { log, services: where } = yield* Settings.load(settings, yield* Settings.environment)
    const { jobHistory } = services(where, { maxConnections: 2, maxBytesInFlight: 0 })
    return yield* Effect.provide(JobHistory.use(use), Layer.provideMerge(jobHistory, Logs.besideAnswer(log)))
  })

const declaredIn = (path: Option.Option<string>) =>
  Effect.flatMap(jobModulePath(Option.getOrUndefined(path)), (module) => registeredJobs(module, []))

const lastOf = (run: KeptRun | undefined, timeZone: string): string =>
  run === undefined ? "-" : `${shownIn(timeZone, run.scheduledFor)} ${endOf(run)} (${tookOf(run)})`

/** For the lease, what is recorded, and what the job asks for itself. */
const connectionsOfRun = 5

/** Lists jobs: their schedules, next occurrences in their own zone, and last runs. */
export const list = Effect.fnUntraced(function* (given: {
  readonly jobs: Option.Option<string>
  readonly json: boolean
}) {
  const { jobs: declared } = yield* declaredIn(given.jobs)
  yield* withHistory((history) =>
    Effect.gen(function* () {
      const { jobs: kept, now } = yield* history.jobs(undefined)
      const fresh = declared
        .filter(({ name }) => !kept.some((job) => job.name === name))
        .map((job): KeptJob => ({ ...definitionOf(job), decidedUntil: now, isPaused: false, isRemoved: false }))
      const jobs = [...kept, ...fresh].sort((one, other) => one.name.localeCompare(other.name))
      const runs = yield* history.lastRuns(jobs.map(({ name }) => name))
      const rows = jobs.map((job) => ({
        job,
        next: nextOf(job, now, 5),
        last: runs.find((run) => run.job === job.name)
      }))
      if (given.json) return yield* Console.log(JSON.stringify(rows.map(recordOf)))
      yield* Console.log(rows.length === 0 ? "there are no jobs" : cards(rows.map(cardOf)))
    })
  )
})

interface ListedJob {
  readonly job: KeptJob
  readonly next: ReadonlyArray<number>
  readonly last: KeptRun | undefined
}

const cardOf = ({ job, last, next }: ListedJob) => ({
  name: job.name,
  schedule: `${job.schedule} (${job.timeZone})`,
  next: job.isPaused ? "paused" : next.map((at) => shownIn(job.timeZone, at)).join("  "),
  "last run": lastOf(last, job.timeZone),
  overlap: job.overlap,
  "catch-up": job.catchUp,
  ...(job.publishes === undefined ? {} : { publishes: `to ${job.publishes.topic}` })
})

const instant = (at: number | undefined): string | null => (at === undefined ? null : new Date(at).toISOString())

const runRecord = (run: KeptRun) => ({
  job: run.job,
  scheduledFor: instant(run.scheduledFor),
  startedAt: instant(run.startedAt),
  finishedAt: instant(run.finishedAt),
  attempt: run.attempt,
  outcome: run.outcome ?? null,
  isOpen: run.isOpen,
  isManual: run.isManual,
  replica: run.replica ?? null,
  error: run.error ?? null,
  result: run.result === undefined ? null : JSON.parse(run.result)
})

const recordOf = ({ job, last, next }: ListedJob) => ({
  name: job.name,
  schedule: job.schedule,
  timeZone: job.timeZone,
  overlap: job.overlap,
  catchUp: job.catchUp,
  isPaused: job.isPaused,
  publishes: job.publishes === undefined ? null : { ...job.publishes, payload: JSON.parse(job.publishes.payload) },
  next: next.map(instant),
  lastRun: last === undefined ? null : runRecord(last)
})

const unknownJob = (history: JobHistory["Service"], name: string) =>
  Effect.flatMap(history.jobs(undefined), ({ jobs }) =>
    Effect.fail(new UnknownJob({ name, known: jobs.map((job) => job.name) }))
  )

/** Pauses a job, or lets it go on. */
export const pause = Effect.fnUntraced(function* (given: {
  readonly name: string
  readonly jobs: Option.Option<string>
  readonly isPaused: boolean
}) {
  const { jobs } = yield* declaredIn(given.jobs)
  yield* withHistory((history) =>
    Effect.gen(function* () {
      // One that no scheduler has seen yet can rest as well.
      const mine = jobs.filter(({ name }) => name === given.name)
      yield* history.register(mine.map(definitionOf))
      const isKnown = yield* history.pause(given.name, given.isPaused)
      if (!isKnown) return yield* unknownJob(history, given.name)
      yield* Console.log(`${given.name}: ${given.isPaused ? "paused" : "resumed"}`)
    })
  )
})

/** Lists runs, the newest first. */
export const history = (given: {
  readonly name: Option.Option<string>
  readonly failed: boolean
  readonly limit: number
  readonly json: boolean
}) =>
  withHistory((store) =>
    Effect.gen(function* () {
      const job = Option.getOrUndefined(given.name)
      const runs = yield* store.runs({ job, onlyFailed: given.failed, limit: given.limit })
      if (given.json) return yield* Console.log(JSON.stringify(runs.map(runRecord)))
      const rows = runs.map((run) => ({
        job: run.job,
        "scheduled for": new Date(run.scheduledFor).toISOString(),
        outcome: endOf(run),
        attempt: run.attempt,
        took: tookOf(run),
        "by hand": run.isManual ? "yes" : "-",
        replica: run.replica ?? "-",
        error: run.error?.split("\n")[0] ?? "-"
      }))
      yield* Console.log(rows.length === 0 ? "nothing has run" : table(rows))
    })
  )

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Adds a job that publishes, or changes it. */
export const add = Effect.fnUntraced(function* (given: {
  readonly name: string
  readonly schedule: string
  readonly timeZone: string
  readonly topic: string
  readonly payload: string
  readonly overlap: Overlap
  readonly catchUp: CatchUp
}) {
  const { payload, topic, ...definition } = given
  const problems = problemsOf(given)
  if (problems.length > 0) return yield* new JobMistake({ problems })
  if (!isJson(payload)) return yield* new WrongUsage({ detail: `--payload takes JSON, got ${JSON.stringify(payload)}` })
  if (topic.trim() === "") return yield* new WrongUsage({ detail: "--publish-topic takes a topic" })
  yield* withHistory((store) => store.add({ ...definition, publishes: { topic, payload } }))
  const parsed = parse(given.schedule, given.timeZone)
  const now = yield* Clock.currentTimeMillis
  const [next] = Result.isSuccess(parsed) ? following(parsed.success, now, 1) : []
  yield* Console.log(`${given.name}: next at ${next === undefined ? "-" : shownIn(given.timeZone, next)}`)
})

/** Removes a job that was added. */
export const remove = ({ name }: { readonly name: string }) =>
  withHistory((store) =>
    Effect.gen(function* () {
      if (!(yield* store.remove(name))) return yield* unknownJob(store, name)
      yield* Console.log(`${name}: removed`)
    })
  )

/** A run that somebody asked for did not end well. */
export class JobFailed extends Schema.TaggedError<JobFailed>()("JobFailed", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

const instantOf = (text: string | undefined) => {
  const at = text === undefined ? undefined : Date.parse(text)
  return at !== undefined && Number.isNaN(at)
    ? Effect.fail(new WrongUsage({ detail: `--at takes an instant such as 2026-11-21T02:00:00Z, got ${String(text)}` }))
    : Effect.succeed(at)
}

const ofRun = Settings.all({
  services: Settings.withDatabase("scheduler", serviceSettings),
  jobs: Settings.jobSettings,
  log: Settings.logSettings
})

const runnableOf = Effect.fnUntraced(function* (
  name: string,
  declared: ReadonlyArray<Any<never>>
): Effect.fn.Return<Runnable<Broker>, StoreError | JobNameTaken | UnknownJob, JobHistory> {
  const history = yield* JobHistory
  const job = declared.find((one) => one.name === name)
  if (job !== undefined) {
    yield* history.register([definitionOf(job)])
    return job
  }
  const { jobs } = yield* history.jobs(undefined)
  const added = jobs.find((one) => one.name === name && one.publishes !== undefined)
  if (added !== undefined) return addedJob(added)
  const known = [...declared, ...jobs].map((one) => one.name)
  return yield* new UnknownJob({ name, known: [...new Set(known)] })
})

const shownResult = (result: string, print: Any["print"]): string => {
  const value: unknown = JSON.parse(result)
  // What was too long to be kept is nothing that the job knows.
  return print === undefined || Predicate.hasProperty(value, "tooLong") ? result : print(value)
}

/** Runs a job now, in this process, and shows how it goes. */
export const runNow = Effect.fnUntraced(function* (given: {
  readonly name: string
  readonly jobs: Option.Option<string>
  readonly at: Option.Option<string>
  readonly print: boolean
}) {
  const at = yield* instantOf(Option.getOrUndefined(given.at))
  const { jobs: declared, layer } = yield* declaredIn(given.jobs)
  const { jobs, log, services: where } = yield* Settings.load(ofRun, yield* Settings.environment)
  const built = services(where, { maxConnections: connectionsOfRun, maxBytesInFlight: 0 })
  const options = {
    holder: { replica, lease: jobs.lease },
    maxConcurrent: 1,
    defaultTimeout: jobs.defaultTimeout
  }
  const surroundings = Layer.provideMerge(world(where, built, true), Logs.besideAnswer(log))
  const run = yield* Effect.flatMap(runnableOf(given.name, declared), (runnable) =>
    runJobOnce(runnable, at, options)
  ).pipe(Effect.provide(Layer.provideMerge(layer, surroundings)))
  const print = given.print ? declared.find(({ name }) => name === given.name)?.print : undefined
  if (!given.print) yield* Console.log(`${runId(run)}: ${endOf(run)} in ${tookOf(run)}, attempt ${run.attempt}`)
  if (run.result !== undefined) yield* Console.log(shownResult(run.result, print))
  if (run.outcome !== "succeeded") return yield* new JobFailed({ detail: run.error ?? endOf(run) })
})
