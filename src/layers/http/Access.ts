/** Who may use the API, and how often. */
import { createHash, timingSafeEqual } from "node:crypto"
import { Context, Duration, Effect, Layer, Redacted } from "effect"
import { HttpApiMiddleware, HttpApiSecurity } from "effect/http-api"
import { RateLimiter } from "effect/persistence"
import type { ApiSettings } from "../config/Settings.ts"
import * as Problems from "./Problems.ts"

/** Who asks: a name that follows from the key and does not give it away. */
export class Client extends Context.Service<Client, { readonly name: string }>()("paystream/layers/http/Client") {}

/**
 * Asks for an API key, where keys are set, and counts.
 *
 * @effect-expect-leaking HttpServerRequest | ParsedSearchParams | RouteContext
 */
export class Access extends HttpApiMiddleware.Service<Access, { provides: Client }>()("paystream/layers/http/Access", {
  error: [Problems.Unauthorized, Problems.TooManyRequests],
  security: { bearer: HttpApiSecurity.bearer, apiKey: HttpApiSecurity.apiKey({ key: "X-API-Key", in: "header" }) }
}) {}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

/** Whose key a text is, if it is one of these: a name that follows from the key and does not give it away. */
export const keyring = (keys: ReadonlyArray<Redacted.Redacted>) => {
  const known = keys.map((key) => {
    const own = digest(Redacted.value(key))
    return { name: own.toString("hex").slice(0, 16), digest: own }
  })
  /** Looks at every key, and compares digests, so that the time it takes tells nothing. */
  return (given: string): { readonly name: string } | undefined => {
    const asked = digest(given)
    return known.reduce<{ readonly name: string } | undefined>(
      (found, key) => (timingSafeEqual(key.digest, asked) ? { name: key.name } : found),
      undefined
    )
  }
}

const anybody = { name: "anybody" }

const limiter = Effect.fnUntraced(function* (rateLimit: number | undefined) {
  if (rateLimit === undefined) return undefined
  const { consume } = yield* RateLimiter.RateLimiter
  return ({ name }: { readonly name: string }) =>
    consume({ algorithm: "token-bucket", window: "1 second", limit: rateLimit, key: name }).pipe(
      Effect.as(undefined),
      Effect.catch(({ reason }) =>
        Effect.succeed(reason._tag === "RateLimitExceeded" ? reason.retryAfter : Duration.seconds(1))
      )
    )
})

const make = Effect.fnUntraced(function* ({ keys, rateLimit }: Pick<ApiSettings, "keys" | "rateLimit">) {
  const find = keyring(keys)
  const waitOf = yield* limiter(rateLimit)

  const clientOf = (credential: Redacted.Redacted) => (keys.length === 0 ? anybody : find(Redacted.value(credential)))

  const check: Access["Service"]["bearer"] = (handler, { credential }) => {
    const client = clientOf(credential)
    if (client === undefined) return Effect.fail(new Problems.Unauthorized())
    const admitted = Effect.provideService(handler, Client, client)
    if (waitOf === undefined) return admitted
    return Effect.flatMap(waitOf(client), (wait) =>
      wait === undefined
        ? admitted
        : Problems.toResponse(new Problems.TooManyRequests({ detail: `at most ${rateLimit} requests per second` }), {
            "retry-after": String(Math.max(1, Math.ceil(Duration.toSeconds(wait))))
          })
    )
  }
  return Access.of({ bearer: check, apiKey: check })
})

/** Counts in this process. */
export const layer = (settings: Pick<ApiSettings, "keys" | "rateLimit">): Layer.Layer<Access> =>
  Layer.effect(Access, make(settings)).pipe(
    Layer.provide(RateLimiter.layer),
    Layer.provide(RateLimiter.layerStoreMemory)
  )
