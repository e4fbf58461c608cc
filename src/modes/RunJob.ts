/** `runjob NAME`: one run of a job, now and in this process. */
import { Effect, Layer, Option, Predicate, Schema } from "effect"
import { type KeptRun, runId } from "../domain/JobRun.ts"
import { endOf, tookOf } from "../domain/JobText.ts"
import type { Broker } from "../domain/ports/Broker.ts"
import { JobHistory, type JobNameTaken } from "../domain/ports/JobHistory.ts"
import type { StoreError } from "../domain/StoreError.ts"
import * as Settings from "../layers/config/Settings.ts"
import { addedJob } from "../streams/AddedJobs.ts"
import type { Any } from "../streams/Job.ts"
import type { Runnable } from "../streams/JobBook.ts"
import { definitionOf } from "../streams/JobScheduler.ts"
import { runJobOnce } from "../streams/RunJobOnce.ts"
import * as Answer from "./Answer.ts"
import { withServices } from "./CommandServices.ts"
import { runRecord } from "./JobListing.ts"
import { declaredIn } from "./KeptJobs.ts"
import { type RegisteredJobs, UnknownJob } from "./RegisteredJobs.ts"
import { replica } from "./Scheduler.ts"
import { serviceSettings } from "./Services.ts"
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

interface Asked {
  readonly name: string
  readonly jobs: Option.Option<string>
  readonly at: Option.Option<string>
  readonly print: boolean
  readonly json: boolean
}

const runIn = (given: Asked, declared: RegisteredJobs, at: number | undefined) =>
  withServices(
    ofRun,
    (built, { jobs, services: where }) => {
      const options = {
        holder: { replica, lease: jobs.lease },
        maxConcurrent: 1,
        defaultTimeout: jobs.defaultTimeout
      }
      const run = Effect.flatMap(runnableOf(given.name, declared.jobs), (runnable) => runJobOnce(runnable, at, options))
      return Effect.provide(run, Layer.provideMerge(declared.layer, world(where, built, true)))
    },
    { maxConnections: connectionsOfRun, stopsByItself: true }
  )

const textOf = (run: KeptRun, given: Asked, declared: RegisteredJobs): string => {
  const print = given.print ? declared.jobs.find(({ name }) => name === given.name)?.print : undefined
  const how = `${runId(run)}: ${endOf(run)} in ${tookOf(run)}, attempt ${run.attempt}`
  return [...(given.print ? [] : [how]), ...(run.result === undefined ? [] : [shownResult(run.result, print)])].join(
    "\n"
  )
}

/** Runs a job now, in this process, and shows how it goes. */
export const runNow = Effect.fnUntraced(function* (given: Asked) {
  const { json, print } = given
  if (json && print) return yield* new WrongUsage({ detail: "--print is for people, --json for machines: one of them" })
  const at = yield* instantOf(Option.getOrUndefined(given.at))
  const declared = yield* declaredIn(given.jobs)
  const run = yield* runIn(given, declared, at)
  const text = textOf(run, given, declared)
  if (json || text !== "") yield* Answer.give(json, runRecord(run), text)
  if (run.outcome !== "succeeded") return yield* new JobFailed({ detail: run.error ?? endOf(run) })
})
