/**
 * An event from a request to a broker: read → decoded → claimed, where it has a key → published → answered.
 *
 * ## Guarantees
 * - 200 is said only of what the broker has confirmed; anything else within a bounded time.
 * - The message id follows from the event: what is sent again, and published again, is the same message to who reads it.
 * - A request with an Idempotency-Key that was begun is ended, also when its client has gone.
 */
import { hash } from "node:crypto"
import { Clock, Context, Duration, Effect, Fiber, Option, type Scope, Tracer } from "effect"
import { type HttpServerRequest, HttpServerResponse, HttpTraceContext } from "effect/http"
import type { Broker, BrokerError, TopicMessage } from "../../domain/ports/Broker.ts"
import { IdempotencyKeys } from "../../domain/ports/IdempotencyKeys.ts"
import * as Batcher from "../../streams/Batcher.ts"
import { leaseFor, type Outcome, once } from "../../streams/Once.ts"
import { within } from "../../streams/Within.ts"
import { Client } from "./Access.ts"
import * as EventBody from "./EventBody.ts"
import * as Problems from "./Problems.ts"
import * as RequestBody from "./RequestBody.ts"

type Response = HttpServerResponse.HttpServerResponse
type Request = HttpServerRequest.HttpServerRequest
type Headers = Request["headers"]

export interface PublishOptions extends RequestBody.BodyLimits {
  readonly publishTimeout: Duration.Duration
  readonly keyRetention: Duration.Duration
}

/** Where a route publishes to. */
export interface Target {
  /** Confirmed when it returns. */
  readonly publish: (message: TopicMessage) => Effect.Effect<void, BrokerError>
  /** How people call the broker. */
  readonly name: string
}

/** So many at a time when the load is high; fewer, and at once, when it is not. */
const batches = { size: 200, window: Duration.zero, concurrency: 4 }

/** A broker as a target: what requests bring at about the same time is confirmed together. */
export const targetOf = (broker: Broker["Service"], name: string) =>
  Effect.map(
    Batcher.make({ ...batches, work: broker.publishToTopics, blamesOne: ({ blamesMessage }) => blamesMessage }),
    ({ add }): Target => ({ publish: add, name })
  )

/** A broker that has just gone away is back in a few seconds, if it only restarts. */
const retryAfterSeconds = "2"

const unavailable = (detail: string) =>
  Problems.toResponse(new Problems.Unavailable({ detail }), { "retry-after": retryAfterSeconds })

const encoder = new TextEncoder()

/** The same for the same event, whoever sends it and how often. */
const fingerprintOf = ({ topic, value }: EventBody.ReceivedEvent): string =>
  hash("sha256", `${topic}\n${value}`).slice(0, 40)

const takenTraceparent = /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/

/** Where the trace of the request goes on: from our own span, or the client's where we keep none. */
const traceOf = (headers: Headers, context: Context.Context<never>): Readonly<Record<string, string>> => {
  const span = Context.getOption(context, Tracer.ParentSpan)
  if (Option.isSome(span) && span.value._tag === "Span") {
    return { traceparent: HttpTraceContext.toHeaders(span.value).traceparent ?? "" }
  }
  const { traceparent } = headers
  return traceparent !== undefined && takenTraceparent.test(traceparent) ? { traceparent } : {}
}

/** Publishes to one broker. */
const publisher = ({ name, publish }: Target, timeout: Duration.Duration) => {
  const late = Effect.suspend(() => unavailable(`${name} did not confirm within ${Duration.format(timeout)}`))
  return Effect.fnUntraced(function* (headers: Headers, event: EventBody.ReceivedEvent, fingerprint: string) {
    const message = {
      topic: event.topic,
      id: `${event.transactionId}/${fingerprint}`,
      body: encoder.encode(event.value),
      contentType: "application/json",
      publishedAtMillis: yield* Clock.currentTimeMillis,
      headers: { key: event.transactionId, ...traceOf(headers, yield* Effect.context()) }
    }
    return yield* publish(message).pipe(
      Effect.as(HttpServerResponse.jsonUnsafe({ status: `Event sent to ${name}`, topic: event.topic })),
      Effect.catch((error) =>
        Effect.andThen(
          error.isRetryable ? Effect.logDebug(error.message) : Effect.logError(error.message),
          unavailable(`${name} cannot be reached`)
        )
      ),
      within(timeout, () => late)
    )
  })
}

const takenKey = /^[\x21-\x7e]{1,255}$/
const invalidKey = { detail: "1 to 255 visible ASCII characters are taken" }

/** An answer as it is kept with its key. */
interface KeptAnswer {
  readonly status: number
  readonly body: unknown
}

const outcomeOf = (response: Response): Outcome => {
  const body = response.body._tag === "Uint8Array" ? JSON.parse(new TextDecoder().decode(response.body.body)) : null
  const answer: KeptAnswer = { status: response.status, body }
  return { answer: JSON.stringify(answer), isFinal: response.status === 200 }
}

const replay = (answer: string): Response => {
  const { body, status } = JSON.parse(answer) as KeptAnswer
  return HttpServerResponse.jsonUnsafe(body, { status, headers: { "idempotency-replayed": "true" } })
}

/** Runs the work under its key; it goes on when the client has gone, or its answer would be lost. */
const underKey = Effect.fnUntraced(function* (
  options: PublishOptions,
  claim: { readonly scope: string; readonly key: string; readonly fingerprint: string },
  publish: Effect.Effect<Response>,
  { keys, scope }: Surroundings
) {
  let response: Response | undefined
  const work = Effect.map(publish, (given) => {
    response = given
    return outcomeOf(given)
  })
  const lease = leaseFor(options.publishTimeout)
  const request = { ...claim, lease, retention: options.keyRetention }
  const fiber = yield* Effect.forkIn(Effect.provideService(once(request, work), IdempotencyKeys, keys), scope)
  const answered = yield* Effect.option(Effect.timeout(Fiber.join(fiber), lease))
  if (Option.isNone(answered)) return yield* unavailable("the Idempotency-Key cannot be looked up now")
  const found = answered.value
  if (found._tag === "OtherRequest") return yield* Problems.toResponse(new Problems.OtherRequest())
  if (found._tag === "UnderWay") {
    const seconds = Math.max(1, Math.ceil(Duration.toSeconds(found.leaseLeft)))
    return yield* Problems.toResponse(new Problems.UnderWay(), { "retry-after": String(seconds) })
  }
  return response ?? replay(found.answer)
})

/** What the handlers of all routes share. */
export interface Surroundings {
  readonly keys: IdempotencyKeys["Service"]
  /** Where work lives that outlives its request. */
  readonly scope: Scope.Scope
}

/** The handler of the route `path`, under whichever of its names it is asked. */
export const make = (target: Target, path: string, options: PublishOptions, surroundings: Surroundings) => {
  const read = RequestBody.reader(options)
  const publish = publisher(target, options.publishTimeout)
  return Effect.fnUntraced(function* ({ request }: { readonly request: Request }) {
    const event = yield* Effect.fromResult(EventBody.decode(yield* read(request)))
    const fingerprint = fingerprintOf(event)
    // asked for once: the server reads them anew each time
    const { headers } = request
    const key = headers["idempotency-key"]
    if (key === undefined) return yield* publish(headers, event, fingerprint)
    if (!takenKey.test(key)) return yield* new Problems.InvalidKey(invalidKey)
    const claim = { scope: `${(yield* Client).name} ${path}`, key, fingerprint }
    return yield* underKey(options, claim, publish(headers, event, fingerprint), surroundings)
  })
}
