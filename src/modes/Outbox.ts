/** `--mode=outbox`: committed events from the table `outbox_events` to the broker, until somebody asks to stop. */
import { Duration, Effect, Layer, Stream } from "effect"
import { PaymentStore } from "../domain/ports/PaymentStore.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import * as OpenTelemetry from "../layers/telemetry/OpenTelemetry.ts"
import { type OutboxRelayOptions, outboxRelay } from "../streams/OutboxRelay.ts"
import { supervised } from "../streams/Supervisor.ts"
import { addresses, brokerDependency, longRunning } from "./LongRunning.ts"
import { serviceSettings, services } from "./Services.ts"

const settings = Settings.all({
  services: serviceSettings,
  outbox: Settings.outboxSettings,
  log: Settings.logSettings,
  health: Settings.healthSettings
})

/** For taking, listening, the lease, the upkeep and a probe of readiness: none of them waits behind a batch. */
const spareConnections = 5

const optionsOf = ({ dead, maxAttempts, retryDelay, ...rest }: Settings.OutboxSettings): OutboxRelayOptions => ({
  ...rest,
  rules: { maxAttempts, dead },
  retry: RetryPolicy.exponential({
    initialDelay: retryDelay,
    maxDelay: Duration.hours(1),
    maxRetries: maxAttempts,
    jitter: 0.1
  })
})

/** Ready while both services answer. */
const dependencies = Effect.gen(function* () {
  const store = yield* PaymentStore
  return [yield* brokerDependency, { name: "database", isReady: Effect.isSuccess(store.ping) }]
})

/** Relays until somebody asks to stop. */
export const outbox = Effect.gen(function* () {
  const environment = yield* Settings.environment
  const { health, log, outbox: given, services: where } = yield* Settings.load(settings, environment)
  const layers = services(where, {
    maxConnections: given.batchesInFlight + spareConnections,
    maxBytesInFlight: 0
  })

  const tables = Stream.unwrap(PaymentStore.useSync(({ prepare }) => Stream.fromEffect(prepare)))
  const relay = Effect.gen(function* () {
    yield* Stream.runDrain(supervised("outbox tables")(tables))
    const published = yield* Stream.runFold(
      outboxRelay(optionsOf(given)),
      () => 0,
      (sum, report) => sum + report.published
    )
    yield* Effect.annotateLogs(Effect.logInfo("done"), { published })
  })
  const introduction = { ...Settings.shown(settings, environment), ...addresses(where) }
  const run = Effect.flatMap(dependencies, (dependencies) =>
    longRunning({ services: where, health, introduction, dependencies }, relay)
  )

  // Built from the last to the first and closed the other way: broker, then database, then telemetry.
  const world = layers.broker.pipe(
    Layer.provideMerge(Layer.merge(layers.outbox, layers.paymentStore)),
    Layer.provideMerge(OpenTelemetry.layer(where.process, environment, "outbox")),
    Layer.provideMerge(Logs.layer(log))
  )
  yield* Effect.provide(run, world)
})
