/** `--mode=worker`: messages of a queue into the table `payments`, each before it is acknowledged. */
import { Effect, Layer, Metric, Schedule, Stream } from "effect"
import * as BatchReport from "../domain/BatchReport.ts"
import { Broker } from "../domain/ports/Broker.ts"
import { PaymentStore } from "../domain/ports/PaymentStore.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import * as OpenTelemetry from "../layers/telemetry/OpenTelemetry.ts"
import * as PaymentMetrics from "../streams/PaymentMetrics.ts"
import { paymentWorker } from "../streams/PaymentWorker.ts"
import { addresses, brokerDependency, longRunning } from "./LongRunning.ts"
import { queueServiceSettings, services } from "./Services.ts"

const settings = Settings.all({
  services: Settings.withDatabase("worker", queueServiceSettings("worker")),
  worker: Settings.workerSettings,
  log: Settings.logSettings,
  health: Settings.healthSettings
})

/** One more than the batches in flight, so that a probe of readiness does not wait behind them. */
const spareConnections = 1

/** Ready while both services answer. */
const dependencies = Effect.gen(function* () {
  const store = yield* PaymentStore
  return [yield* brokerDependency, { name: "database", isReady: Effect.isSuccess(store.ping) }]
})

/** Keeps the gauge of waiting messages up to date; a broker that is away leaves it as it was. */
const watchDepth = (queue: string) =>
  Effect.gen(function* () {
    const broker = yield* Broker
    yield* broker.depth(queue).pipe(
      Effect.flatMap((depth) => Metric.update(PaymentMetrics.queueDepth, depth)),
      Effect.ignore,
      Effect.repeat(Schedule.spaced("15 seconds")),
      Effect.forkScoped
    )
  })

/** Runs until `MAX_MESSAGES` are settled, the queue stays empty, or somebody asks to stop. */
export const worker = Effect.gen(function* () {
  const environment = yield* Settings.environment
  const { health, log, services: where, worker: options } = yield* Settings.load(settings, environment)
  const { broker, paymentStore } = services(where, {
    maxConnections: options.batchesInFlight + spareConnections,
    maxBytesInFlight: options.maxBytesInFlight
  })

  const drain = Effect.gen(function* () {
    yield* watchDepth(options.queue)
    const totals = yield* Stream.runFold(paymentWorker(options), () => BatchReport.empty, BatchReport.add)
    yield* Effect.logInfo("done").pipe(Effect.annotateLogs({ ...totals }))
  })
  const introduction = {
    ...Settings.shown(settings, environment),
    ...addresses(where),
    queue: options.queue,
    deadLetters: options.deadLetterQueue ?? "rejected"
  }
  const run = Effect.flatMap(dependencies, (dependencies) =>
    longRunning({ services: where, health, introduction, dependencies }, drain)
  )

  // Built from the last to the first and closed the other way: broker, then database, then telemetry.
  const world = broker.pipe(
    Layer.provideMerge(paymentStore),
    Layer.provideMerge(OpenTelemetry.layer(where.process, environment, "worker")),
    Layer.provideMerge(Logs.layer(log))
  )
  yield* Effect.provide(run, world)
})
