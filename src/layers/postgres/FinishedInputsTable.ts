/** The table `finished_inputs`: what a group with `dedupe` has finished. */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** Migration 2. */
export const create: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE IF NOT EXISTS finished_inputs (
    consumer text NOT NULL,
    identity text NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, identity)
  )`
  // What is old is found by its time, whatever the table's size.
  yield* sql`CREATE INDEX IF NOT EXISTS idx_finished_inputs_finished_at ON finished_inputs (finished_at)`
})
