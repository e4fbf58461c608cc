/** The topic workers of a module, or our own, and the services that they need. */
import { Cause, Effect, Layer, Schema } from "effect"
import type { AuditLog } from "../domain/ports/AuditLog.ts"
import { BrokerError } from "../domain/ports/Broker.ts"
import * as Settings from "../layers/config/Settings.ts"
import { load } from "../layers/modules/UserModules.ts"
import * as PixWorkers from "../streams/PixWorkers.ts"
import { type Any, isWorker } from "../streams/Worker.ts"
import { check } from "../streams/WorkerChecks.ts"
import { messageOf } from "../streams/WorkerMessages.ts"

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

/** What a module exports beside its workers failed: its `layer` or its `onStart`. */
export class ModuleFailed extends Schema.TaggedError<ModuleFailed>()("ModuleFailed", {
  path: Schema.String,
  what: Schema.Literals(["layer", "onStart"]),
  detail: Schema.String
}) {
  readonly isRetryable = false
  override get message(): string {
    return `the ${this.what} of the module ${this.path} failed: ${this.detail}`
  }
}

export interface RegisteredWorkers {
  readonly workers: ReadonlyArray<Any>
  /** Those of the module that were not asked for too: what they name as dead-letter topics is known all the same. */
  readonly all: ReadonlyArray<Any>
  /** What the handlers need: the export `layer` of the module, or our own for our own. */
  readonly layer: Layer.Layer<never, unknown, AuditLog>
  /** What to do once all are subscribed: the export `onStart` of the module. */
  readonly onStart: Effect.Effect<unknown, BrokerError | ModuleFailed>
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

// Types are lost on the way through a module; what a layer lacks shows as a defect when a handler asks for it.

/** What a module exports as `layer`: what its workers or jobs need. */
export const layerOf = (path: string, layer: unknown): RegisteredWorkers["layer"] => {
  if (!Layer.isLayer(layer)) return Layer.empty
  return Layer.catchCause(layer as RegisteredWorkers["layer"], (cause) => {
    if (Cause.hasInterruptsOnly(cause)) return Layer.effectDiscard(Effect.failCause(cause))
    const failure = new ModuleFailed({ path, what: "layer", detail: messageOf(Cause.squash(cause)) })
    return Layer.effectDiscard(Effect.andThen(Effect.logError(failure.message, cause), failure))
  })
}

const onStartOf = (path: string, onStart: unknown): RegisteredWorkers["onStart"] => {
  if (!Effect.isEffect(onStart)) return Effect.void
  // The broker's trouble is nobody's mistake: it is tried again.
  return Effect.mapError(onStart as Effect.Effect<unknown, unknown>, (error) =>
    error instanceof BrokerError ? error : new ModuleFailed({ path, what: "onStart", detail: messageOf(error) })
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
  // Ours fails of its settings alone, which say so themselves.
  const own = { layer: builtIn.layer, onStart: Effect.void }
  const { layer, onStart } =
    path === undefined ? own : { layer: layerOf(path, exports.layer), onStart: onStartOf(path, exports.onStart) }
  return { workers, all, layer, onStart } satisfies RegisteredWorkers
})

/** The path that a flag names, or the environment. */
export const modulePath = (flag: string | undefined) =>
  Effect.flatMap(Settings.environment, (environment) =>
    Effect.map(Settings.load(Settings.consumerSettings, environment), ({ workers }) => flag ?? workers)
  )
