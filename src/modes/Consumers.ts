/** `--mode=consumers`: topic workers, until they are stopped; and the list of them. */
import { Console, Duration, Effect, Layer, Stream } from "effect"
import { FinishedInputs } from "../domain/ports/FinishedInputs.ts"
import * as Settings from "../layers/config/Settings.ts"
import type * as HealthServer from "../layers/http/HealthServer.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import * as OpenTelemetry from "../layers/telemetry/OpenTelemetry.ts"
import { DedupeUnavailable, Deduplication } from "../streams/Deduplication.ts"
import { Suspects } from "../streams/Suspects.ts"
import { DeadLetterTopics, topicWorker } from "../streams/TopicWorker.ts"
import type { Any } from "../streams/Worker.ts"
import { deadLetterTopicsOf } from "../streams/WorkerChecks.ts"
import { storesInOrder } from "../streams/WorkerStores.ts"
import { addresses, brokerDependency, longRunning } from "./LongRunning.ts"
import { modulePath, registered } from "./RegisteredWorkers.ts"
import { serviceSettings, services } from "./Services.ts"
import { table } from "./Table.ts"

const settings = Settings.all({
  services: serviceSettings,
  log: Settings.logSettings,
  health: Settings.healthSettings,
  guarantees: Settings.guaranteeSettings
})

/** Bodies that one worker may have in hand. */
const maxBytesInFlight = 64 * 1024 * 1024

export interface ConsumersOptions {
  /** The module that exports the workers. */
  readonly module: string | undefined
  /** Those to run; none means all. */
  readonly names: ReadonlyArray<string>
}

/** Two batches of look-ups, two of records, and one for a mark or a probe that must not wait behind them. */
const maxConnections = 5

/** Runs workers side by side until somebody asks to stop. */
export const consumers = Effect.fnUntraced(function* (options: ConsumersOptions) {
  const environment = yield* Settings.environment
  const { guarantees, health, log, services: where } = yield* Settings.load(settings, environment)
  const { all, layer, workers } = yield* registered(yield* modulePath(options.module), options.names)
  const { broker, workerStores } = services(where, { maxConnections, maxBytesInFlight })
  const hasDatabase = where.process.database !== "none"
  yield* refuseDedupe(hasDatabase ? [] : workers)

  const introduction = {
    ...Settings.shown(settings, environment),
    ...addresses(where),
    workers: workers.map(({ name }) => name).join(", "),
    crashMarks: hasDatabase ? `dead-lettered after ${guarantees.maxCrashes} crashes` : "off (DATABASE=none)"
  }
  const work = Effect.forEach(workers, (worker) => Stream.runDrain(topicWorker(worker)), {
    concurrency: "unbounded",
    discard: true
  })
  const running = Effect.fnUntraced(function* <E, R>(
    program: Effect.Effect<void, E, R>,
    others: ReadonlyArray<HealthServer.Dependency>
  ) {
    const dependencies = [yield* brokerDependency, ...others]
    yield* longRunning({ services: where, health, introduction, dependencies }, program)
  })
  const run = hasDatabase
    ? Effect.gen(function* () {
        yield* running(keepingStores(workers, guarantees, work), needsDatabase(workers) ? [yield* database] : [])
      }).pipe(Effect.provide(Layer.provideMerge(guards(guarantees), workerStores)))
    : running(work, [])
  const world = layer.pipe(
    Layer.provideMerge(broker),
    Layer.provideMerge(OpenTelemetry.layer(where.process, environment, "consumers")),
    Layer.provideMerge(Logs.layer(log))
  )
  yield* run.pipe(Effect.provideService(DeadLetterTopics, deadLetterTopicsOf(all)), Effect.provide(world))
})

const refuseDedupe = (workers: ReadonlyArray<Any>) => {
  const asking = workers.find(({ dedupe }) => dedupe)
  return asking === undefined ? Effect.void : Effect.fail(new DedupeUnavailable({ worker: asking.name }))
}

const needsDatabase = (workers: ReadonlyArray<Any>): boolean => workers.some(({ dedupe }) => dedupe)

/** Readiness of the database, where a worker waits for it. */
const database = Effect.map(FinishedInputs, ({ ping }) => ({ name: "database", isReady: Effect.isSuccess(ping) }))

/** What the workers find in their context where there is a database. */
const guards = ({ maxCrashes, suspectPatience }: Settings.GuaranteeSettings) =>
  Layer.merge(Deduplication.layer, Suspects.layer({ maxCrashes, patience: suspectPatience }))

/** The stores kept in order beside the work; whoever has no `dedupe` does not wait for them, nor end because of them. */
const keepingStores = <A, E, R>(
  workers: ReadonlyArray<Any>,
  { dedupeRetention }: Settings.GuaranteeSettings,
  work: Effect.Effect<A, E, R>
) => {
  const stores = storesInOrder({ dedupeRetention, isNeeded: needsDatabase(workers) })
  return Effect.raceFirst(work, Effect.andThen(Stream.runDrain(stores), Effect.never))
}

const seconds = (duration: Duration.Duration): string => `${Duration.toSeconds(duration)} s`

const describe = (worker: Any) => ({
  name: worker.name,
  input: worker.topic,
  output: worker.outputTopic ?? "-",
  group: worker.groupId,
  concurrency: worker.concurrency,
  retries: worker.retry.maxRetries,
  backOff: `${worker.retry.kind} from ${seconds(worker.retry.initialDelay)} to ${seconds(worker.retry.maxDelay)}`,
  dedupe: worker.dedupe ? "yes" : "-",
  schemas: [worker.input && "input", worker.output && "output"].filter(Boolean).join("+") || "-",
  dlq: worker.dlqTopic
})

/** Lists the workers of a module. */
export const listWorkers = Effect.fnUntraced(function* (options: ConsumersOptions & { readonly json: boolean }) {
  const { workers } = yield* registered(yield* modulePath(options.module), options.names)
  const rows = workers.map(describe)
  yield* Console.log(options.json ? JSON.stringify(rows) : table(rows))
})
