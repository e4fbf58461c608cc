/**
 * Requests under an Idempotency-Key: each is done once, and whoever sends it again gets its answer.
 *
 * ## Guarantees
 * - A request that was begun is ended, also when its client has gone.
 * - 429 and 5xx are not kept: the same request may be sent again at once.
 */
import { Duration, Effect, Fiber, type Scope } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { type ClaimRequest, IdempotencyKeys } from "../../domain/ports/IdempotencyKeys.ts"
import { StoreAway, StoreError } from "../../domain/StoreError.ts"
import { type Answered, leaseFor, type Outcome, once } from "../../streams/Once.ts"
import { within } from "../../streams/Within.ts"
import * as Problems from "./Problems.ts"

type Response = HttpServerResponse.HttpServerResponse

export interface KeyOptions {
  /** The longest time that the work takes. */
  readonly longestWork: Duration.Duration
  readonly keyRetention: Duration.Duration
}

/** What all requests share. */
export interface Surroundings {
  readonly keys: IdempotencyKeys["Service"]
  /** Where work lives that outlives its request. */
  readonly scope: Scope.Scope
}

const takenKey = /^[\x21-\x7e]{1,255}$/

/** The key of a request, if it has one. */
export const keyOf = ({
  headers
}: HttpServerRequest.HttpServerRequest): Effect.Effect<string | undefined, Problems.InvalidKey> => {
  const key = headers["idempotency-key"]
  return key === undefined || takenKey.test(key)
    ? Effect.succeed(key)
    : Effect.fail(new Problems.InvalidKey({ detail: "1 to 255 visible ASCII characters are taken" }))
}

/** An answer as it is kept with its key. */
interface KeptAnswer {
  readonly status: number
  readonly body: unknown
  readonly location?: string
}

const isKept = (status: number): boolean => status < 500 && status !== 429

const outcomeOf = ({ body, headers, status }: Response): Outcome => {
  const { location } = headers
  const answer: KeptAnswer = {
    status,
    body: body._tag === "Uint8Array" ? JSON.parse(new TextDecoder().decode(body.body)) : null,
    ...(location === undefined ? {} : { location })
  }
  return { answer: JSON.stringify(answer), isFinal: isKept(status) }
}

/** Says of an answer that it was given before. */
export const replayed = HttpServerResponse.setHeader("idempotency-replayed", "true")

const replay = (answer: string): Response => {
  const { body, location, status } = JSON.parse(answer) as KeptAnswer
  return replayed(HttpServerResponse.jsonUnsafe(body, { status, headers: location === undefined ? {} : { location } }))
}

/** The first look of all makes the table as well. */
const longestLook = Duration.seconds(10)

const frozen = new StoreError({ reason: new StoreAway({ detail: "idempotency keys: no answer", code: "timeout" }) })

/** A store that has frozen costs a request no more than its share of time. */
const bounded = (keys: IdempotencyKeys["Service"]): IdempotencyKeys["Service"] => {
  const limited = within(longestLook, () => Effect.fail(frozen))
  return {
    ...keys,
    claim: (request) => limited(keys.claim(request)),
    complete: (held, answer) => limited(keys.complete(held, answer)),
    release: (held) => limited(keys.release(held))
  }
}

const told = (found: Answered, response: Response | undefined): Effect.Effect<Response> => {
  if (found._tag === "OtherRequest") return Problems.toResponse(new Problems.OtherRequest())
  if (found._tag === "Answered") return Effect.succeed(response ?? replay(found.answer))
  const seconds = Math.max(1, Math.ceil(Duration.toSeconds(found.leaseLeft)))
  return Problems.toResponse(new Problems.UnderWay(), { "retry-after": `${seconds}` })
}

/** Runs work under a key; `withoutKeys` is what there is to do while nobody can look at keys. */
export const make = ({ keyRetention, longestWork }: KeyOptions, { keys, scope }: Surroundings) => {
  const lease = leaseFor(longestWork)
  const store = bounded(keys)
  return Effect.fnUntraced(function* (
    claim: Pick<ClaimRequest, "scope" | "key" | "fingerprint">,
    work: Effect.Effect<Response>,
    withoutKeys: Effect.Effect<Response>
  ) {
    let response: Response | undefined
    const kept = Effect.map(work, (given) => {
      response = given
      return outcomeOf(given)
    })
    const request = { ...claim, lease, retention: keyRetention }
    const answer = once(request, kept).pipe(
      Effect.provideService(IdempotencyKeys, store),
      Effect.flatMap((found) => told(found, response)),
      Effect.catch((error) => Effect.andThen(Effect.logDebug(error.message), withoutKeys))
    )
    // Forked: it goes on when the client has gone, or its answer would be lost.
    return yield* Fiber.join(yield* Effect.forkIn(answer, scope))
  })
}
