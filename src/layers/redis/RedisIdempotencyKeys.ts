/**
 * Idempotency keys in Redis: one server, or the address of those that stand in for it; not a cluster.
 *
 * ## Guarantees
 * - Those of the port, as long as Redis loses nothing.
 *
 * ## Assumptions
 * - What must not be done twice has another guard: a Redis that fails over, is restarted or evicts keys forgets some.
 */
import { createHash } from "node:crypto"
import { Duration, Effect, Layer } from "effect"
import {
  type Claim,
  type ClaimRequest,
  type IdempotencyKey,
  IdempotencyKeys
} from "../../domain/ports/IdempotencyKeys.ts"
import type { RedisSettings } from "../config/RedisSettings.ts"
import * as RedisConnection from "./RedisConnection.ts"
import * as RedisScripts from "./RedisScripts.ts"

const nameOf = ({ key, scope }: IdempotencyKey): string => `paystream:idempotency:${JSON.stringify([scope, key])}`

const millisOf = (duration: Duration.Duration): string => String(Math.max(1, Math.ceil(Duration.toMillis(duration))))

/** Redis keeps scripts by their digest; one that was restarted has to be sent them again. */
const runner = <A>(ask: RedisConnection.Ask, script: string) => {
  const digest = createHash("sha1").update(script).digest("hex")
  return (key: IdempotencyKey, ...args: ReadonlyArray<string>) =>
    ask((client): Promise<A> => {
      const rest = ["1", nameOf(key), ...args]
      return client.sendCommand<A>(["EVALSHA", digest, ...rest]).catch((error: unknown) => {
        if (!String(error).includes("NOSCRIPT")) throw error
        return client.sendCommand<A>(["EVAL", script, ...rest])
      })
    })
}

type Reply = readonly [tag: Claim["_tag"], value: string]

const claimOf = ({ key, scope }: ClaimRequest, [tag, value]: Reply): Claim => {
  if (tag === "Claimed") return { _tag: tag, held: { scope, key, token: BigInt(value) } }
  if (tag === "Completed") return { _tag: tag, answer: value }
  return tag === "UnderWay" ? { _tag: tag, leaseLeft: Duration.millis(Number(value)) } : { _tag: tag }
}

const make = Effect.fnUntraced(function* (settings: RedisSettings) {
  const ask = yield* RedisConnection.make(settings)
  const claim = runner<Reply>(ask, RedisScripts.claim)
  const complete = runner<number>(ask, RedisScripts.complete)
  const release = runner<number>(ask, RedisScripts.release)

  return IdempotencyKeys.of({
    claim: (request) =>
      Effect.map(claim(request, request.fingerprint, millisOf(request.lease), millisOf(request.retention)), (reply) =>
        claimOf(request, reply)
      ),
    complete: (held, answer) => Effect.map(complete(held, String(held.token), answer), (stored) => stored === 1),
    release: (held) => Effect.asVoid(release(held, String(held.token))),
    // Redis does it by itself.
    removeExpired: () => Effect.succeed(0)
  })
})

/** The keys in a Redis; connects when first used. */
export const layer = (settings: RedisSettings): Layer.Layer<IdempotencyKeys> =>
  Layer.effect(IdempotencyKeys, make(settings))
