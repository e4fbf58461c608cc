/** Idempotency keys in a Redis, by way of the product's own settings. */
import { Effect, Layer } from "effect"
import { IdempotencyKeys } from "../../src/domain/ports/IdempotencyKeys.ts"
import * as Environment from "../../src/layers/config/Environment.ts"
import * as Settings from "../../src/layers/config/Settings.ts"
import * as RedisIdempotencyKeys from "../../src/layers/redis/RedisIdempotencyKeys.ts"

const notSet = Layer.effect(IdempotencyKeys, Effect.die("REDIS_URL is not set"))

export const redisKeys = (url: string) =>
  Layer.unwrap(
    Effect.map(Settings.load(Settings.redisSettings, Environment.make({ REDIS_URL: url })), (settings) =>
      settings === undefined ? notSet : RedisIdempotencyKeys.layer(settings)
    )
  )
