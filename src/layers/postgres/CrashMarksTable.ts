/** The table `crash_marks`: messages that came again and were begun, and how often; a row for each that is, or was at a crash. */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** Migration 3. */
export const create: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE IF NOT EXISTS crash_marks (
    consumer text NOT NULL,
    identity text NOT NULL,
    begun integer NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, identity)
  )`
})
