/** `--mode=consumers`: topic workers, until they are stopped; and the list of them. */
import { Console, Duration, Effect, Layer, Stream } from "effect"
import * as Settings from "../layers/config/Settings.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import * as OpenTelemetry from "../layers/telemetry/OpenTelemetry.ts"
import { topicWorker } from "../streams/TopicWorker.ts"
import type { Any } from "../streams/Worker.ts"
import { addresses, brokerDependency, longRunning } from "./LongRunning.ts"
import { modulePath, registered } from "./RegisteredWorkers.ts"
import { serviceSettings, services } from "./Services.ts"
import { table } from "./Table.ts"

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

/** Runs workers side by side until somebody asks to stop. */
export const consumers = Effect.fnUntraced(function* (options: ConsumersOptions) {
  const environment = yield* Settings.environment
  const { health, log, services: where } = yield* Settings.load(settings, environment)
  const { layer, workers } = yield* registered(yield* modulePath(options.module), options.names)
  const { broker } = services(where, { maxConnections: 2, maxBytesInFlight })

  const introduction = {
    ...Settings.shown(settings, environment),
    broker: addresses(where).broker,
    workers: workers.map(({ name }) => name).join(", ")
  }
  const work = Effect.forEach(workers, (worker) => Stream.runDrain(topicWorker(worker)), {
    concurrency: "unbounded",
    discard: true
  })
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

const seconds = (duration: Duration.Duration): string => `${Duration.toSeconds(duration)} s`

const describe = (worker: Any) => ({
  name: worker.name,
  input: worker.topic,
  output: worker.outputTopic ?? "-",
  group: worker.groupId,
  concurrency: worker.concurrency,
  retries: worker.retry.maxRetries,
  backOff: `${worker.retry.kind} from ${seconds(worker.retry.initialDelay)} to ${seconds(worker.retry.maxDelay)}`,
  schemas: [worker.input && "input", worker.output && "output"].filter(Boolean).join("+") || "-",
  dlq: worker.dlqTopic
})

/** Lists the workers of a module. */
export const listWorkers = Effect.fnUntraced(function* (options: ConsumersOptions & { readonly json: boolean }) {
  const { workers } = yield* registered(yield* modulePath(options.module), options.names)
  const rows = workers.map(describe)
  yield* Console.log(options.json ? JSON.stringify(rows) : table(rows))
})
