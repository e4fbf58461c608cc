/** `--mode=scheduler`: jobs on their schedules, until somebody asks to stop. */
import { hostname } from "node:os"
import { Duration, Effect, Layer } from "effect"
import type { Broker } from "../domain/ports/Broker.ts"
import { JobHistory, type KeptJob } from "../domain/ports/JobHistory.ts"
import { PaymentStore } from "../domain/ports/PaymentStore.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as JobsRoutes from "../layers/http/JobsRoutes.ts"
import { letYoungGenerationGrow } from "../layers/process/Memory.ts"
import { addedJob } from "../streams/AddedJobs.ts"
import * as JobRequests from "../streams/JobRequests.ts"
import { announce, jobScheduler } from "../streams/JobScheduler.ts"
import { besideRetention } from "../streams/Retention.ts"
import { unlessStopped } from "../streams/Shutdown.ts"
import * as Part from "./Part.ts"
import { jobModulePath, type RegisteredJobs, registeredJobs } from "./RegisteredJobs.ts"

const settings = Settings.all({
  jobs: Settings.jobSettings,
  shutdownTimeout: Settings.shutdownTimeout,
  keys: Settings.apiKeys,
  rateLimit: Settings.apiRateLimit
})

type Given = typeof settings extends Settings.Group<infer A> ? A : never

export interface SchedulerOptions {
  /** The module that exports the jobs. */
  readonly module: string | undefined
  /** Those to run; none means all. */
  readonly names: ReadonlyArray<string>
}

/** For what decides, what is recorded, the leases, the retention, and what jobs ask for themselves; listening has its own. */
const connections = 9

/** What is left of a stop once runs are interrupted: they are released, and connections are closed. */
const forTheRest = Duration.seconds(3)

/** Of a short stop, the runs have the larger part all the same. */
const drainOf = (shutdownTimeout: Duration.Duration): Duration.Duration =>
  Duration.max(Duration.subtract(shutdownTimeout, forTheRest), Duration.times(shutdownTimeout, 0.6))

/** Who holds a run, for people. */
export const replica = `${hostname()}/${process.pid}`

/** What a job does, if this process runs it. */
const runnableOf = ({ isAll, jobs }: RegisteredJobs, job: KeptJob) => {
  if (job.publishes === undefined) return jobs.find(({ name }) => name === job.name)
  return isAll ? addedJob(job) : undefined
}

const run = Effect.fnUntraced(function* (
  { jobs: given, shutdownTimeout }: Given,
  found: RegisteredJobs,
  requests: JobRequests.JobRequests<Broker>
) {
  // A module's layer may wait for something: it does not hold up who asks to stop.
  const built = yield* unlessStopped(Layer.build(found.layer))
  if (built === undefined) return
  yield* Effect.sync(letYoungGenerationGrow)
  const { forget } = yield* JobHistory
  yield* jobScheduler({
    holder: { replica, lease: given.lease },
    maxConcurrent: given.maxConcurrent,
    defaultTimeout: given.defaultTimeout,
    jobs: found.jobs,
    added: found.isAll ? addedJob : undefined,
    requests,
    drain: drainOf(shutdownTimeout)
  }).pipe(besideRetention({ what: "runs of jobs", age: given.retention, forget }), Effect.provide(built))
})

/** The page of jobs; who has a key may ask for runs there. */
const pagesOf = ({ keys, rateLimit }: Given, found: RegisteredJobs, requests: JobRequests.JobRequests<Broker>) =>
  JobsRoutes.layer({
    keys,
    rateLimit,
    runOf: (job) => {
      const runnable = runnableOf(found, job)
      return runnable === undefined ? undefined : requests.ask(runnable)
    }
  })

const work = (options: SchedulerOptions) =>
  Effect.fnUntraced(function* (given: Given) {
    const found = yield* registeredJobs(yield* jobModulePath(options.module), options.names)
    const names = found.jobs.map(({ name }) => name).join(", ")
    return {
      maxConnections: connections,
      maxBytesInFlight: 0,
      introduction: { jobs: found.isAll ? [names, "those that were added"].filter(Boolean).join(", ") : names },
      open: () =>
        Effect.gen(function* () {
          const store = yield* PaymentStore
          const requests = yield* JobRequests.make<Broker>()
          yield* announce
          return {
            dependencies: [{ name: "database", isReady: Effect.isSuccess(store.ping) }],
            pages: Layer.provide(pagesOf(given, found, requests), Layer.succeed(JobHistory, yield* JobHistory)),
            run: run(given, found, requests)
          }
        })
    }
  })

/** Runs jobs until somebody asks to stop. */
export const scheduler = (options: SchedulerOptions) =>
  Part.make("scheduler", { broker: "any", database: true }, settings, work(options))
