/**
 * An event from a request to a broker: read → decoded → claimed, where it has a key → published → answered.
 *
 * ## Guarantees
 * - 200 is said only of what the broker has confirmed; anything else within a bounded time.
 * - The message id follows from the event: what is sent again, and published again, is the same message to who reads it.
 * - A request with an Idempotency-Key that was begun is ended, also when its client has gone.
 */
import { hash } from "node:crypto"
import { Clock, Context, Duration, Effect } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { type Topic, topics, versionHeader } from "../../domain/PixEvent.ts"
import type { Broker, BrokerError, TopicMessage } from "../../domain/ports/Broker.ts"
import * as Batcher from "../../streams/Batcher.ts"
import { onwardTrace } from "../../streams/Tracing.ts"
import { callersTrace } from "./CallersTrace.ts"
import * as EventBody from "./EventBody.ts"
import * as Idempotency from "./Idempotency.ts"
import * as Problems from "./Problems.ts"
import * as RequestBody from "./RequestBody.ts"

type Request = HttpServerRequest.HttpServerRequest
type Headers = Request["headers"]

export interface PublishOptions extends RequestBody.BodyLimits {
  readonly publishTimeout: Duration.Duration
  readonly keyRetention: Duration.Duration
}

/** Where a route publishes to. */
export interface Target {
  /** Confirmed when it returns. */
  readonly publish: (message: TopicMessage) => Effect.Effect<void, BrokerError | Batcher.Late>
  /** How people call the broker. */
  readonly name: string
}

/** So many at a time when the load is high; fewer, and at once, when it is not. */
const batches = { size: 200, concurrency: 4, partial: 1 }

/** Where gathering gains nothing: a request then waits for its own confirm, and for nobody else's. */
const turns = { size: 200, concurrency: 16, partial: 16 }

/** A broker as a target: what requests bring at about the same time is published together. */
export const targetOf = (broker: Broker["Service"], name: string, patience: Duration.Duration) =>
  Effect.map(
    Batcher.make({
      ...(broker.joinsCalls ? turns : batches),
      patience,
      work: broker.publishToTopics,
      blamesOne: ({ blamesMessage }) => blamesMessage
    }),
    ({ add }): Target => ({ publish: add, name })
  )

const unavailable = (detail: string) => Problems.toResponse(new Problems.Unavailable({ detail }))

/** The event may be there by now: who cannot be told is not answered that it is. */
const keysAway = Effect.suspend(() => unavailable("the Idempotency-Key cannot be looked up now"))

const encoder = new TextEncoder()

/** The same for the same event, whoever sends it and how often. */
const fingerprintOf = ({ topic, value }: EventBody.ReceivedEvent): string =>
  hash("sha256", `${topic}\n${value}`).slice(0, 40)

/** What is said of events that a broker has confirmed, by topic: the same each time, and made once. */
const answersFor = (name: string) => {
  const sent = (topic: Topic) =>
    Effect.succeed(HttpServerResponse.jsonUnsafe({ status: `Event sent to ${name}`, topic }))
  return Object.fromEntries(Object.values(topics).map((topic) => [topic, sent(topic)])) as Record<
    Topic,
    Effect.Effect<HttpServerResponse.HttpServerResponse>
  >
}

/** Publishes to one broker. */
const publisher = ({ name, publish }: Target, timeout: Duration.Duration) => {
  const answers = answersFor(name)
  const onFailure = (error: BrokerError | Batcher.Late) => {
    if (error._tag === "Late") return unavailable(`${name} did not confirm within ${Duration.format(timeout)}`)
    const log = error.isRetryable ? Effect.logDebug(error.message) : Effect.logError(error.message)
    return Effect.andThen(log, unavailable(`${name} cannot be reached`))
  }
  return (headers: Headers, event: EventBody.ReceivedEvent, fingerprint: string) =>
    Effect.contextWith((context: Context.Context<never>) => {
      const message = {
        topic: event.topic,
        id: `${event.transactionId}/${fingerprint}`,
        body: encoder.encode(event.value),
        contentType: "application/json",
        publishedAtMillis: Context.get(context, Clock.Clock).currentTimeMillisUnsafe(),
        headers: { key: event.transactionId, ...versionHeader, ...onwardTrace(context, callersTrace(headers)) }
      }
      return Effect.matchEffect(publish(message), { onSuccess: () => answers[event.topic], onFailure })
    })
}

/** The handler of the route `path`, under whichever of its names it is asked. */
export const make = (target: Target, path: string, options: PublishOptions, surroundings: Idempotency.Surroundings) => {
  const read = RequestBody.reader(options)
  const publish = publisher(target, options.publishTimeout)
  const underKey = Idempotency.make({ ...options, longestWork: options.publishTimeout }, surroundings)
  const taken = (headers: Headers, client: string, event: EventBody.ReceivedEvent) => {
    const fingerprint = fingerprintOf(event)
    const published = publish(headers, event, fingerprint)
    return Effect.flatMapEager(Idempotency.keyOf(headers), (key) => {
      if (key === undefined) return published
      const claim = { scope: `${client} ${path}`, key, fingerprint }
      return underKey(claim, published, { withoutKeys: keysAway })
    })
  }
  return (request: Request, client: string) =>
    Effect.flatMap(read(request), (body) =>
      // asked for once: the server reads headers anew each time
      Effect.flatMapEager(Effect.fromResult(EventBody.decode(body)), (event) => taken(request.headers, client, event))
    )
}
