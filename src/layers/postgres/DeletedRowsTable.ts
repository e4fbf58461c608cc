/** The column `deleted_at` of `payments`, and what finds marked rows among millions; `payment_intents` has had it always. */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** Migration 31. */
export const create: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // Instant, whatever the table's size: a column without a default rewrites no row.
  yield* sql`ALTER TABLE payments ADD COLUMN IF NOT EXISTS deleted_at timestamptz`
  yield* sql`CREATE INDEX IF NOT EXISTS idx_payments_deleted_at ON payments (deleted_at) WHERE deleted_at IS NOT NULL`
  yield* sql`CREATE INDEX IF NOT EXISTS idx_payment_intents_deleted_at ON payment_intents (deleted_at)
    WHERE deleted_at IS NOT NULL`
})
