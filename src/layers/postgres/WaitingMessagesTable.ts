/** The table of what waits outside of the broker for its key's turn. */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** Migration 4. The key itself is in the message; a row of a key that waits has one of a lower id before it, or is the head. */
export const create: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE IF NOT EXISTS paystream_waiting_messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer_group text NOT NULL,
    key_hash text NOT NULL,
    message text NOT NULL,
    due_at timestamptz NOT NULL,
    claims integer NOT NULL DEFAULT 0,
    claimed_by text,
    claimed_until timestamptz,
    stored_at timestamptz NOT NULL DEFAULT now()
  )`
  yield* sql`CREATE INDEX IF NOT EXISTS paystream_waiting_messages_key
    ON paystream_waiting_messages (consumer_group, key_hash, id)`
  yield* sql`CREATE INDEX IF NOT EXISTS paystream_waiting_messages_due
    ON paystream_waiting_messages (consumer_group, due_at)`
  yield* sql`CREATE INDEX IF NOT EXISTS paystream_waiting_messages_claim
    ON paystream_waiting_messages (consumer_group, claimed_by) WHERE claimed_by IS NOT NULL`
})
