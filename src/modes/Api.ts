/** `--mode=api`: PIX events over HTTP to brokers, until it is stopped. */
import { Context, Effect, Layer, Stream } from "effect"
import { Broker, type BrokerError } from "../domain/ports/Broker.ts"
import type { IdempotencyKeys } from "../domain/ports/IdempotencyKeys.ts"
import type { StoreError } from "../domain/StoreError.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as ApiServer from "../layers/http/ApiServer.ts"
import { routes } from "../layers/http/PixApi.ts"
import * as Process from "../layers/process/Process.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import * as OpenTelemetry from "../layers/telemetry/OpenTelemetry.ts"
import { expiredKeys } from "../streams/ExpiredKeys.ts"
import * as Reachability from "../streams/Reachability.ts"
import type { Shutdown } from "../streams/Shutdown.ts"
import type { Supervisor } from "../streams/Supervisor.ts"
import { addresses } from "./LongRunning.ts"
import { serviceSettingsFor, services } from "./Services.ts"

const settings = Settings.all({
  services: Settings.withDatabase("api", serviceSettingsFor(Settings.apiBrokers)),
  brokers: Settings.apiBrokers,
  redis: Settings.redisSettings,
  api: Settings.apiSettings,
  log: Settings.logSettings
})

/** An API consumes nothing. */
const maxBytesInFlight = 0

type StreamServices = IdempotencyKeys | Shutdown | Supervisor

/** How often expired keys are looked for: often enough that there are never many. */
const sweepEvery = "1 minute"

/** Serves until somebody asks to stop: then nothing more is accepted, and what is in flight is finished. */
const serve = Effect.fnUntraced(function* (options: Omit<ApiServer.ApiServerOptions, "dependencies">) {
  const { keys, port } = options.settings
  const reachabilities = [...options.brokers].map(([name, broker]) => ({ name, ...Reachability.make(broker) }))
  const dependencies = reachabilities.map(({ isReachable, name }) => ({ name, isReady: isReachable }))
  yield* Layer.build(ApiServer.layer({ ...options, dependencies }))
  if (keys.length === 0) yield* Effect.logWarning("API_KEYS is not set: everybody who reaches the API may use it")
  const paths = [...options.brokers.keys()].map((kind) => routes[kind].path).join(", ")
  yield* Effect.logInfo(`listening at port ${port}: ${paths}; documentation at /docs`)
  const streams = [expiredKeys(sweepEvery), ...reachabilities.map(({ watched }) => watched)]
  yield* Effect.forEach(
    streams,
    (stream) => Stream.runDrain<unknown, StoreError | BrokerError, StreamServices>(stream),
    {
      concurrency: "unbounded",
      discard: true
    }
  )
})

/** Runs the API. */
export const api = Effect.gen(function* () {
  const environment = yield* Settings.environment
  const given = yield* Settings.load(settings, environment)
  const where = given.services
  const { auditLog, brokers, idempotencyKeys } = services(
    { ...where, redis: given.redis },
    {
      maxConnections: given.api.databaseConnections,
      maxBytesInFlight
    }
  )

  const run = Effect.gen(function* () {
    yield* Process.withDeadline(where.process.shutdownTimeout)
    const introduction = { ...Settings.shown(settings, environment), database: addresses(where).database }
    yield* Effect.annotateLogs(Effect.logInfo("starting"), introduction)
    const built = new Map<Settings.BrokerKind, Broker["Service"]>()
    for (const kind of given.brokers) built.set(kind, Context.get(yield* Layer.build(brokers[kind]), Broker))
    // A scope of its own: the server is closed, and its requests are finished, before the brokers go.
    yield* Effect.scoped(serve({ settings: given.api, brokers: built, drainTimeout: where.process.shutdownTimeout }))
  })

  const world = Layer.mergeAll(auditLog, idempotencyKeys).pipe(
    Layer.provideMerge(OpenTelemetry.layer(where.process, environment, "api")),
    Layer.provideMerge(Logs.layer(given.log))
  )
  yield* Effect.provide(Effect.scoped(run), world)
})
