/** The jobs of a database, for commands: read and changed without a broker. */
import { Effect, Option } from "effect"
import { JobHistory } from "../domain/ports/JobHistory.ts"
import * as Settings from "../layers/config/Settings.ts"
import { withServices } from "./CommandServices.ts"
import { jobModulePath, registeredJobs, UnknownJob } from "./RegisteredJobs.ts"
import { databaseOnly } from "./Services.ts"

const settings = Settings.all({ services: Settings.withDatabaseFor("`jobs`", databaseOnly), log: Settings.logSettings })

/** Asks the database that the settings name. */
export const withHistory = <A, E, R>(use: (history: JobHistory["Service"]) => Effect.Effect<A, E, R>) =>
  withServices(settings, ({ jobHistory }) => Effect.provide(JobHistory.use(use), jobHistory), { maxConnections: 2 })

/** The jobs of the module that a flag names, or the environment; our own without one. */
export const declaredIn = (path: Option.Option<string>) =>
  Effect.flatMap(jobModulePath(Option.getOrUndefined(path)), (module) => registeredJobs(module, []))

/** Fails, and names the jobs that there are. */
export const unknownJob = (history: JobHistory["Service"], name: string) =>
  Effect.flatMap(history.jobs(undefined), ({ jobs }) =>
    Effect.fail(new UnknownJob({ name, known: jobs.map((job) => job.name) }))
  )
