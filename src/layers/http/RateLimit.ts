/** How often somebody with a key may ask, in this process. */
import { Duration, Effect, Layer } from "effect"
import { RateLimiter } from "effect/persistence"

const inThisProcess = Layer.provide(RateLimiter.layer, RateLimiter.layerStoreMemory)

/** Nobody has asked yet; `limit` is in requests per second, and `undefined` is none. */
export const make = Effect.fnUntraced(function* (limit: number | undefined) {
  if (limit === undefined) return () => Effect.succeed(0)
  const { consume } = yield* RateLimiter.RateLimiter
  /** Counts a request, and gives the seconds until it may be sent again: 0 if it may be answered. */
  return ({ name }: { readonly name: string }): Effect.Effect<number> =>
    consume({ algorithm: "token-bucket", window: "1 second", limit, key: name }).pipe(
      Effect.as(0),
      Effect.catch(({ reason }) => {
        const wait = reason._tag === "RateLimitExceeded" ? reason.retryAfter : Duration.seconds(1)
        return Effect.succeed(Math.max(1, Math.ceil(Duration.toSeconds(wait))))
      })
    )
}, Effect.provide(inThisProcess))

/** What is said to who asks too often. */
export const excess = (limit: number | undefined): string => `at most ${limit} requests per second`
