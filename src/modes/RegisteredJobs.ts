/** The jobs of a module, or our own, and the services that they need. */
import { Effect, Layer, Schema } from "effect"
import * as Settings from "../layers/config/Settings.ts"
import { load } from "../layers/modules/UserModules.ts"
import { databaseCleanup } from "../streams/DatabaseCleanup.ts"
import { type Any, isJob } from "../streams/Job.ts"
import { check } from "../streams/JobChecks.ts"
import { reportGenerator } from "../streams/ReportGenerator.ts"
import { layerOf } from "./RegisteredWorkers.ts"

/** A job was asked for that is not there. */
export class UnknownJob extends Schema.TaggedError<UnknownJob>()("UnknownJob", {
  name: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const known = this.known.length === 0 ? "there are none" : `the jobs are ${this.known.join(", ")}`
    return `there is no job ${JSON.stringify(this.name)}; ${known}`
  }
}

/** Nothing to run. */
export class NoJobs extends Schema.TaggedError<NoJobs>()("NoJobs", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

export interface RegisteredJobs {
  /** Those to run. */
  readonly jobs: ReadonlyArray<Any<never>>
  /** Whether all were asked for: then those that were added by hand run too. */
  readonly isAll: boolean
  /** What they need: the export `layer` of the module. */
  readonly layer: Layer.Layer<never, unknown>
}

/** Our own. */
const builtIn = { databaseCleanup, reportGenerator }

// Types are lost on the way through a module; what its layer lacks shows as a defect when a job asks for it.
const isComplete = (value: unknown): value is Any<never> => isJob(value)

/** The jobs of the module at `path`, each an export or in a list that is one; `names` picks some of them, none of them means all. */
export const registeredJobs = Effect.fnUntraced(function* (path: string | undefined, names: ReadonlyArray<string>) {
  const exports: Readonly<Record<string, unknown>> = path === undefined ? builtIn : yield* load(path)
  const all = [...new Set(Object.values(exports).flat().filter(isComplete))]
  if (all.length === 0) return yield* new NoJobs({ detail: `${path} exports no job (Job.make)` })
  const known = all.map(({ name }) => name)
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined) return yield* new UnknownJob({ name: unknown, known })
  yield* check(all)
  const jobs = names.length === 0 ? all : all.filter(({ name }) => names.includes(name))
  const layer = path === undefined ? Layer.empty : (layerOf(path, exports.layer) as Layer.Layer<never, unknown>)
  return { jobs, isAll: names.length === 0, layer } satisfies RegisteredJobs
})

/** The path that a flag names, or the environment. */
export const jobModulePath = (flag: string | undefined) =>
  Effect.flatMap(Settings.environment, (environment) =>
    Effect.map(Settings.load(Settings.jobModule, environment), (path) => flag ?? path)
  )
