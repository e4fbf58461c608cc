/** `--mode=consumers`: topic workers, until they are stopped. */
import { Effect, Layer, Schema, Stream } from "effect"
import { BrokerError } from "../domain/ports/Broker.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import * as OpenTelemetry from "../layers/telemetry/OpenTelemetry.ts"
import { supervised } from "../streams/Supervisor.ts"
import { subscribe, topicWorker } from "../streams/TopicWorker.ts"
import type { Any } from "../streams/Worker.ts"
import { addresses, brokerDependency, longRunning } from "./LongRunning.ts"
import { modulePath, type RegisteredWorkers, registered } from "./RegisteredWorkers.ts"
import { serviceSettings, services } from "./Services.ts"

const settings = Settings.all({
  services: serviceSettings,
  log: Settings.logSettings,
  health: Settings.healthSettings
})

/** Bodies that one worker may have in hand. */
const maxBytesInFlight = 64 * 1024 * 1024

export interface ConsumersOptions {
  /** The module that exports the workers. */
  readonly module: string | undefined
  /** Those to run; none means all. */
  readonly names: ReadonlyArray<string>
}

/** The `onStart` of a module failed. */
export class StartFailed extends Schema.TaggedError<StartFailed>()("StartFailed", { detail: Schema.String }) {
  readonly isRetryable = false
  override get message(): string {
    return `the module's onStart failed: ${this.detail}`
  }
}

/** Runs `onStart` once every worker is subscribed, so that nothing it publishes goes past them. */
const started = (workers: ReadonlyArray<Any>, onStart: RegisteredWorkers["onStart"]) => {
  const failure = (error: unknown) =>
    error instanceof BrokerError
      ? error
      : new StartFailed({ detail: error instanceof Error ? error.message : String(error) })
  const run = Effect.andThen(Effect.forEach(workers, subscribe, { discard: true }), onStart)
  return supervised("onStart")(Stream.fromEffect(Effect.mapError(run, failure)))
}

/** Runs workers side by side until somebody asks to stop. */
export const consumers = Effect.fnUntraced(function* (options: ConsumersOptions) {
  const environment = yield* Settings.environment
  const { health, log, services: where } = yield* Settings.load(settings, environment)
  const { layer, onStart, workers } = yield* registered(yield* modulePath(options.module), options.names)
  const { broker } = services(where, { maxConnections: 2, maxBytesInFlight })

  const introduction = {
    ...Settings.shown(settings, environment),
    broker: addresses(where).broker,
    workers: workers.map(({ name }) => name).join(", ")
  }
  const streams = [...workers.map((worker) => topicWorker(worker)), started(workers, onStart)]
  const work = Effect.forEach(streams, Stream.runDrain, { concurrency: "unbounded", discard: true })
  const run = Effect.flatMap(brokerDependency, (dependency) =>
    longRunning({ services: where, health, introduction, dependencies: [dependency] }, work)
  )
  const world = layer.pipe(
    Layer.provideMerge(broker),
    Layer.provideMerge(OpenTelemetry.layer(where.process, environment, "consumers")),
    Layer.provideMerge(Logs.layer(log))
  )
  yield* Effect.provide(run, world)
})
