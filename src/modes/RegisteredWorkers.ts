/** The topic workers of a module, or our own, and the services that they need. */
import { Effect, Layer, Schema } from "effect"
import type { AuditLog } from "../domain/ports/AuditLog.ts"
import * as Settings from "../layers/config/Settings.ts"
import { load } from "../layers/modules/UserModules.ts"
import * as PixWorkers from "../streams/PixWorkers.ts"
import { type Any, isWorker } from "../streams/Worker.ts"
import { check } from "../streams/WorkerChecks.ts"

/** A worker was asked for that is not there. */
export class UnknownWorker extends Schema.TaggedError<UnknownWorker>()("UnknownWorker", {
  name: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `there is no worker ${JSON.stringify(this.name)}; the workers are ${this.known.join(", ")}`
  }
}

/** Nothing to run. */
export class NoWorkers extends Schema.TaggedError<NoWorkers>()("NoWorkers", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

export interface RegisteredWorkers {
  readonly workers: ReadonlyArray<Any>
  /** Those of the module that were not asked for too: what they name as dead-letter topics is known all the same. */
  readonly all: ReadonlyArray<Any>
  /** What the handlers need: the export `layer` of the module, or our own for our own. */
  readonly layer: Layer.Layer<never, unknown, AuditLog>
  /** What to do once all are subscribed: the export `onStart` of the module. */
  readonly onStart: Effect.Effect<unknown, unknown>
}

/** Our own: the PIX system. */
const builtIn = {
  ...PixWorkers,
  layer: Layer.unwrap(
    Effect.gen(function* () {
      const environment = yield* Settings.environment
      return Layer.succeed(PixWorkers.Limits, yield* Settings.load(Settings.pixSettings, environment))
    })
  )
}

/** The workers of the module at `path`, or our own; `names` picks some of them, none of them means all. */
export const registered = Effect.fnUntraced(function* (path: string | undefined, names: ReadonlyArray<string>) {
  const exports: Readonly<Record<string, unknown>> = path === undefined ? builtIn : yield* load(path)
  // A worker may be exported by several names.
  const all = [...new Set(Object.values(exports).filter(isWorker))]
  if (all.length === 0) return yield* new NoWorkers({ detail: `${path} exports no worker (Worker.make)` })
  const known = all.map(({ name }) => name)
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined) return yield* new UnknownWorker({ name: unknown, known })
  yield* check(all)
  const workers = names.length === 0 ? all : all.filter(({ name }) => names.includes(name))
  // Its type is lost on the way through a module; what it lacks shows as a defect when a handler asks for it.
  const services: unknown = Layer.isLayer(exports.layer) ? exports.layer : Layer.empty
  const onStart: unknown = Effect.isEffect(exports.onStart) ? exports.onStart : Effect.void
  return { workers, all, layer: services, onStart } as RegisteredWorkers
})

/** The path that a flag names, or the environment. */
export const modulePath = (flag: string | undefined) =>
  Effect.flatMap(Settings.environment, (environment) =>
    Effect.map(Settings.load(Settings.consumerSettings, environment), ({ workers }) => flag ?? workers)
  )
