/** The table `pix_audit_log`: one row per step of a payment. It holds no payer, no receiver and no amount. */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** Migration 6. */
export const create: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE pix_audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id text NOT NULL UNIQUE,
    transaction_id text NOT NULL,
    action text NOT NULL,
    detail text,
    happened_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
  )`
  yield* sql`CREATE INDEX pix_audit_log_transaction ON pix_audit_log (transaction_id, happened_at, id)`
})
