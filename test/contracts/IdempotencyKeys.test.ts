/** Every implementation passes the contract. */
import { Effect, Layer } from "effect"
import { inject } from "vitest"
import * as MemoryIdempotencyKeys from "../../src/layers/memory/MemoryIdempotencyKeys.ts"
import * as PostgresIdempotencyKeys from "../../src/layers/postgres/PostgresIdempotencyKeys.ts"
import { newDatabase } from "../support/Databases.ts"
import { redisKeys } from "../support/RedisKeys.ts"
import { postgresClient } from "../support/Services.ts"
import { suite } from "./IdempotencyKeysContract.ts"

const postgres = Layer.unwrap(
  Effect.map(newDatabase, (url) =>
    PostgresIdempotencyKeys.layer({ address: "the tests' server", migrateOnStart: true }).pipe(
      Layer.provide(postgresClient(url))
    )
  )
)

suite("memory", MemoryIdempotencyKeys.layer)
suite("PostgreSQL", postgres)
suite("Redis", redisKeys(inject("redisUrl")), { removesByItself: true })
