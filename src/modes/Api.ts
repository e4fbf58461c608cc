/** `--mode=api`: payments, and PIX events to brokers, over HTTP, until it is stopped. */
import { Context, Effect, Layer, Stream } from "effect"
import type { HttpRouter } from "effect/http"
import { Broker, type BrokerError } from "../domain/ports/Broker.ts"
import type { IdempotencyKeys } from "../domain/ports/IdempotencyKeys.ts"
import type { PaymentIntents } from "../domain/ports/PaymentIntents.ts"
import type { StoreError } from "../domain/StoreError.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as ApiServer from "../layers/http/ApiServer.ts"
import { routes } from "../layers/http/PixApi.ts"
import { letYoungGenerationGrow } from "../layers/process/Memory.ts"
import { expiredKeys } from "../streams/ExpiredKeys.ts"
import * as Reachability from "../streams/Reachability.ts"
import type { Shutdown } from "../streams/Shutdown.ts"
import type { Supervisor } from "../streams/Supervisor.ts"
import * as Part from "./Part.ts"
import { brokersNeeded, payments, paymentsInApi } from "./PaymentsInApi.ts"
import type { Services } from "./Services.ts"

const settings = Settings.all({
  served: Settings.apiBrokers,
  needed: brokersNeeded,
  api: Settings.apiSettings,
  payments: paymentsInApi,
  drainTimeout: Settings.shutdownTimeout
})

type Given = typeof settings extends Settings.Group<infer A> ? A : never

/** An API consumes nothing. */
const maxBytesInFlight = 0

type StreamServices = IdempotencyKeys | PaymentIntents | Shutdown | Supervisor

/** How often expired keys are looked for: often enough that there are never many. */
const sweepEvery = "1 minute"

/** What handlers ask for with each request, they find where the server was built. */
const server = (options: ApiServer.ApiServerOptions) => {
  const layer = ApiServer.layer(options)
  type Asked = Layer.Services<typeof layer>
  type Found = HttpRouter.Request.Without<Asked> | HttpRouter.Request.Only<"Requires", Asked>
  return layer as Layer.Layer<never, Layer.Error<typeof layer>, Found>
}

type Payments = Effect.Success<ReturnType<typeof payments>>
type Watched = ReturnType<typeof Reachability.make>["watched"] | Payments["streams"][number]

/** Serves until somebody asks to stop: then nothing more is accepted, and what is in flight is finished. */
const serve = Effect.fnUntraced(function* (options: ApiServer.ApiServerOptions, watches: ReadonlyArray<Watched>) {
  const { keys, port } = options.settings
  yield* Effect.sync(letYoungGenerationGrow)
  yield* Layer.build(server(options))
  if (keys.length === 0) yield* Effect.logWarning("API_KEYS is not set: everybody who reaches the API may use it")
  const paths = ["/payments", ...[...options.brokers.keys()].map((kind) => routes[kind].path)].join(", ")
  yield* Effect.logInfo(`listening at port ${port}: ${paths}; documentation at /docs`)
  yield* Effect.forEach(
    [expiredKeys(sweepEvery), ...watches],
    (stream) => Stream.runDrain<unknown, StoreError | BrokerError, StreamServices>(stream),
    { concurrency: "unbounded", discard: true }
  )
})

const open = (given: Given) =>
  Effect.fnUntraced(function* (services: Services) {
    const built = new Map<Settings.BrokerKind, Broker["Service"]>()
    for (const kind of given.needed) built.set(kind, Context.get(yield* Layer.build(services.brokers[kind]), Broker))
    const { notices, outlet, process, streams } = yield* payments(given.payments, services, built)
    const brokers = new Map([...built].filter(([kind]) => given.served.includes(kind)))
    const reachabilities = [...brokers].map(([name, broker]) => ({ name, ...Reachability.make(broker) }))
    const dependencies = reachabilities.map(({ isReachable, name }) => ({ name, isReady: isReachable }))
    const { api: settings, drainTimeout } = given
    const options = { settings, brokers, dependencies, drainTimeout, process, notices }
    const watches = [...streams, ...reachabilities.map(({ watched }) => watched)]
    return { dependencies, run: Effect.provideContext(serve(options, watches), outlet) }
  })

/** The API, with brokers and health pages of its own. */
export const api = Part.make(
  "api",
  { broker: brokersNeeded, database: true, hasHealthPages: true },
  settings,
  (given) =>
    Effect.succeed({
      maxConnections: given.api.databaseConnections,
      maxBytesInFlight,
      introduction: {},
      open: open(given)
    })
)
