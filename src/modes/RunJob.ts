/** `runjob NAME`: one run of a job, now and in this process. */
import { Console, Effect, Layer, Option, Predicate, Schema } from "effect"
import { runId } from "../domain/JobRun.ts"
import { endOf, tookOf } from "../domain/JobText.ts"
import type { Broker } from "../domain/ports/Broker.ts"
import { JobHistory, type JobNameTaken } from "../domain/ports/JobHistory.ts"
import type { StoreError } from "../domain/StoreError.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import { addedJob } from "../streams/AddedJobs.ts"
import type { Any } from "../streams/Job.ts"
import type { Runnable } from "../streams/JobBook.ts"
import { definitionOf } from "../streams/JobScheduler.ts"
import { runJobOnce } from "../streams/RunJobOnce.ts"
import { declaredIn } from "./KeptJobs.ts"
import { UnknownJob } from "./RegisteredJobs.ts"
import { replica } from "./Scheduler.ts"
import { serviceSettings, services } from "./Services.ts"
import { world } from "./World.ts"
import { WrongUsage } from "./WrongUsage.ts"

/** For the lease, what is recorded, and what the job asks for itself. */
const connectionsOfRun = 5

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
  services: Settings.withDatabaseFor("`runjob`", serviceSettings),
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
