/**
 * The tables `worker_runs`, a row for each run of payment workers, and `worker_run_shares`, a row for each process that
 * took part; and the column of `payments` that says which run stored a row.
 *
 * No share is exceeded, and so no run: the database itself refuses a count above what was granted, and the rows of the
 * same statement with it.
 */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** What a count above the grant violates. */
export const withinGrant = "worker_run_shares_within_grant"

/** Migration 26: whether a process has left, or was lost. */
export const noteLeaving: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE worker_run_shares ADD COLUMN left_at timestamptz`
})

/** Migration 20. */
export const create: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // Instant, whatever the table's size: a column without a default rewrites no row.
  yield* sql`ALTER TABLE payments ADD COLUMN IF NOT EXISTS run_id text`
  yield* sql`CREATE TABLE worker_runs (
    run_id text PRIMARY KEY,
    source_queue text NOT NULL,
    max_messages bigint CHECK (max_messages > 0),
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_at timestamptz
  )`
  // `granted` is null where there is no limit.
  yield* sql`CREATE TABLE worker_run_shares (
    holder uuid PRIMARY KEY,
    run_id text NOT NULL REFERENCES worker_runs ON DELETE CASCADE,
    granted bigint,
    stored bigint NOT NULL DEFAULT 0,
    duplicates bigint NOT NULL DEFAULT 0,
    dead_lettered bigint NOT NULL DEFAULT 0,
    is_idle boolean NOT NULL DEFAULT false,
    leased_until timestamptz NOT NULL,
    CONSTRAINT ${sql(withinGrant)} CHECK (stored + duplicates + dead_lettered <= granted)
  )`
  yield* sql`CREATE INDEX worker_run_shares_run_id ON worker_run_shares (run_id)`
})
