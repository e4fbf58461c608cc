/** The traffic of a demonstration: messages for the queue, and requests to the API as a client sends them. */
import { Duration, Effect, Layer, Ref, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { sampleIntent } from "../domain/SampleIntent.ts"
import { sampleRequest } from "../domain/SamplePix.ts"
import type * as Settings from "../layers/config/Settings.ts"
import { routes } from "../layers/http/PixApi.ts"
import * as PixClient from "../layers/http/PixClient.ts"
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

/** The statuses of an answer that says that a payment is stored. */
const isTaken = (status: number): boolean => status === 201 || status === 202

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

/** The numbers from 0 on, at every so many ticks. */
const numbers = (ticks: number) =>
  Stream.tick(tick).pipe(
    Stream.zipWithIndex,
    Stream.filter(([, at]) => at % ticks === 0),
    Stream.map(([, at]) => at / ticks),
    untilShutdown
  )

/** All of it, a little at a time, for ever. What the API does not take is not sent again: more comes soon. */
export const steadily = Effect.fnUntraced(function* (options: TrafficOptions) {
  const { broker, run } = options
  const client = yield* clientOf(options)
  const messages = numbers(1).pipe(
    Stream.mapEffect((n) => publishSamples(options, n * paymentsPerTick, (n + 1) * paymentsPerTick)),
    supervised("simulator")
  )
  const send = (route: string, body: string, key: string) => Effect.ignore(client.send(route, body, key))
  const intents = numbers(ticksPerIntent).pipe(
    Stream.mapEffect((n) => send("/payments", sampleIntent(n), `${run}-${n}`), { concurrency: requestsAtOnce })
  )
  const pix = numbers(ticksPerPix).pipe(
    Stream.mapEffect((n) => send(routes[broker].path, sampleRequest(run, n, 0).body, `${run}-pix-${n}`))
  )
  yield* Effect.all([Stream.runDrain(messages), Stream.runDrain(intents), Stream.runDrain(pix)], {
    concurrency: "unbounded",
    discard: true
  })
})

/** What of a counted run was taken: messages confirmed by the broker, payments accepted by the API. */
export interface Published {
  readonly messages: number
  readonly intents: number
}

/** Exactly `count` messages, and a share of payments beside them; `confirmed` is told of messages as they are. */
export const counted = Effect.fnUntraced(function* (
  options: TrafficOptions,
  count: number,
  confirmed: Ref.Ref<number>
) {
  const client = yield* clientOf(options)
  const messages = sampleBatches(options, count).pipe(
    Stream.runForEach((done) => Ref.set(confirmed, done)),
    Effect.as(count)
  )
  const intents = Stream.range(0, intentsOf(count) - 1).pipe(
    Stream.mapEffect((n) => client.send("/payments", sampleIntent(n), `${options.run}-${n}`), {
      concurrency: requestsAtOnce
    }),
    Stream.runFold(
      () => 0,
      (taken, status) => (isTaken(status) ? taken + 1 : taken)
    )
  )
  const published: Published = yield* Effect.all({ messages, intents }, { concurrency: "unbounded" })
  return published
})
