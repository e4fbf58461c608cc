/** The traffic of a demonstration: messages for the queue, and requests to the API as a client sends them. */
import { Context, Duration, Effect, Layer, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { sampleIntent } from "../domain/SampleIntent.ts"
import { sampleRequest } from "../domain/SamplePix.ts"
import type * as Settings from "../layers/config/Settings.ts"
import * as PixClient from "../layers/http/PixClient.ts"
import { routes } from "../layers/http/PixApi.ts"
import { publishSamples, sampleBatches } from "../streams/SamplePublisher.ts"
import { untilShutdown } from "../streams/Shutdown.ts"
import { supervised } from "../streams/Supervisor.ts"

/** Ten ticks a second: enough to see it move, little enough to read. */
const tick = "100 millis"
const paymentsPerTick = 2
/** A request is sent at every so many ticks. */
const ticksPerIntent = 2
const ticksPerPix = 10

/** One request in flight is enough to be quick, and a few are enough to show that they go side by side. */
const requestsAtOnce = 8

/** Of a counted run one payment of ten goes through the API, and a thousand at most: each is a dozen transactions. */
export const intentsOf = (count: number): number => Math.min(1000, Math.ceil(count / 10))

export interface TrafficOptions {
  readonly queue: string
  /** What all ids of this run begin with. */
  readonly run: string
  readonly api: Settings.ApiSettings
  readonly broker: Settings.BrokerKind
}

/** A client of the API of this very process. */
const clientOf = Effect.fnUntraced(function* ({ api }: TrafficOptions) {
  const context = yield* Layer.build(FetchHttpClient.layer)
  return yield* Effect.provideContext(
    PixClient.make({ target: `http://127.0.0.1:${api.port}`, key: api.keys[0], patience: Duration.minutes(1) }),
    context
  )
})

const everyTicks = (count: number) => Stream.tick(tick).pipe(Stream.zipWithIndex, Stream.filter(([, n]) => n % count === 0))

/** All of it, a little at a time, for ever. */
export const steadily = Effect.fnUntraced(function* (options: TrafficOptions) {
  const { broker, run } = options
  const client = yield* clientOf(options)
  const messages = everyTicks(1).pipe(
    untilShutdown,
    Stream.mapEffect(([, n]) => publishSamples(options, n * paymentsPerTick, (n + 1) * paymentsPerTick))
  )
  const intents = everyTicks(ticksPerIntent).pipe(
    untilShutdown,
    Stream.zipWithIndex,
    Stream.mapEffect(([, n]) => client.send("/payments", sampleIntent(n), `${run}-${n}`), {
      concurrency: requestsAtOnce
    })
  )
  const pix = everyTicks(ticksPerPix).pipe(
    untilShutdown,
    Stream.zipWithIndex,
    Stream.mapEffect(([, n]) => client.send(routes[broker].path, sampleRequest(run, n, 0).body, `${run}-pix-${n}`))
  )
  const retried = <A, R>(name: string, stream: Stream.Stream<A, unknown, R>) => Stream.runDrain(stream)
  yield* Effect.all([retried("messages", messages)], { concurrency: "unbounded", discard: true })
})
