/** `--mode=consumers`: topic workers, until they are stopped. */
import "effect/schema/SchemaJITCompiler/enable"
import { Effect, Layer, Stream } from "effect"
import { AuditLog } from "../domain/ports/AuditLog.ts"
import { deadLetterTopicsOf } from "../domain/Subscriptions.ts"
import * as Settings from "../layers/config/Settings.ts"
import type * as HealthServer from "../layers/http/HealthServer.ts"
import { letYoungGenerationGrow } from "../layers/process/Memory.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import * as OpenTelemetry from "../layers/telemetry/OpenTelemetry.ts"
import { pixAudit } from "../streams/PixWorkers.ts"
import { unlessStopped } from "../streams/Shutdown.ts"
import { supervised } from "../streams/Supervisor.ts"
import { DeadLetterTopics, subscribe, topicWorker } from "../streams/TopicWorker.ts"
import type { Any } from "../streams/Worker.ts"
import { addresses, brokerDependency, longRunning } from "./LongRunning.ts"
import { modulePath, type RegisteredWorkers, registered } from "./RegisteredWorkers.ts"
import { serviceSettings, services } from "./Services.ts"
import { databaseDependency, guards, keepingStores, needsDatabase, refuseWithoutDatabase } from "./WorkerGuarantees.ts"
import { refuseMissingTopics } from "./WorkerTopics.ts"

const settings = Settings.all({
  services: serviceSettings,
  log: Settings.logSettings,
  health: Settings.healthSettings,
  guarantees: Settings.guaranteeSettings
})

/** Bodies that one worker may have in hand. */
const maxBytesInFlight = 64 * 1024 * 1024

/** Nobody asks for it: the database is not needed. */
const withoutAuditLog = Layer.mock(AuditLog, {})

export interface ConsumersOptions {
  /** The module that exports the workers. */
  readonly module: string | undefined
  /** Those to run; none means all. */
  readonly names: ReadonlyArray<string>
}

/** Runs `onStart` once every worker is subscribed, so that nothing it publishes goes past them. */
const started = (workers: ReadonlyArray<Any>, onStart: RegisteredWorkers["onStart"]) => {
  const run = Effect.andThen(Effect.forEach(workers, subscribe, { discard: true }), onStart)
  // It may go on for as long as it likes, and holds up nobody who asks to stop.
  return Stream.runDrain(supervised("onStart")(Stream.fromEffect(unlessStopped(run))))
}

/**
 * Two batches of look-ups, two of records, and one for a mark or a probe that must not wait behind them. The audit log
 * has as many of its own.
 */
const maxConnections = 5

/** Runs workers side by side until somebody asks to stop. */
export const consumers = Effect.fnUntraced(function* (options: ConsumersOptions) {
  yield* Effect.sync(letYoungGenerationGrow)
  const environment = yield* Settings.environment
  const { guarantees, health, log, services: where } = yield* Settings.load(settings, environment)
  // A module may wait for something as it is loaded, and so may its layer: neither holds up who asks to stop.
  const found = yield* unlessStopped(registered(yield* modulePath(options.module), options.names))
  if (found === undefined) return
  const { all, layer, onStart, workers } = found
  const { auditLog, broker, workerStores } = services(where, { maxConnections, maxBytesInFlight })
  const hasDatabase = where.process.database !== "none"
  yield* refuseWithoutDatabase(hasDatabase ? [] : workers)
  const audits = workers.includes(pixAudit)
  const introduction = {
    ...Settings.shown(settings, environment),
    ...addresses(where),
    workers: workers.map(({ name }) => name).join(", "),
    crashMarks: hasDatabase ? `dead-lettered after ${guarantees.maxCrashes} crashes` : "off (DATABASE=none)"
  }
  const runs = [...workers.map((worker) => Stream.runDrain(topicWorker(worker))), started(workers, onStart)]
  const work = Effect.andThen(
    refuseMissingTopics(workers),
    Effect.all(runs, { concurrency: "unbounded", discard: true })
  )
  const running = Effect.fnUntraced(function* <E, R>(
    program: Effect.Effect<void, E, R>,
    others: ReadonlyArray<HealthServer.Dependency>
  ) {
    const dependencies = [yield* brokerDependency, ...others]
    yield* longRunning({ services: where, health, introduction, dependencies }, program)
  })
  const run = hasDatabase
    ? Effect.gen(function* () {
        const others = needsDatabase(workers) ? [yield* databaseDependency] : []
        yield* running(keepingStores(workers, guarantees, work), others)
      }).pipe(Effect.provide(Layer.provideMerge(guards(guarantees), workerStores)))
    : running(work, [])
  const world = layer.pipe(
    Layer.provideMerge(broker),
    Layer.provideMerge(audits ? auditLog : withoutAuditLog),
    Layer.provideMerge(OpenTelemetry.layer(where.process, environment, "consumers")),
    Layer.provideMerge(Logs.layer(log))
  )
  yield* Effect.scoped(
    Effect.gen(function* () {
      const built = yield* unlessStopped(Layer.build(world))
      if (built === undefined) return
      yield* run.pipe(Effect.provideService(DeadLetterTopics, deadLetterTopicsOf(all)), Effect.provide(built))
    })
  )
})
