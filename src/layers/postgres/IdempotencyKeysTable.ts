/** The table `idempotency_keys`: requests that were claimed, and the answers of those that are done. */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** Migration 5. */
export const create: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE idempotency_keys (
    scope text NOT NULL,
    key text NOT NULL,
    fingerprint text NOT NULL,
    token bigint NOT NULL,
    lease_until timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    answer text,
    PRIMARY KEY (scope, key)
  )`
  yield* sql`CREATE INDEX idempotency_keys_expires_at ON idempotency_keys (expires_at)`
})
