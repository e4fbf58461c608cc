/**
 * The tables `scheduled_jobs`, a row for each job, and `job_runs`, a row for each occurrence that was run or skipped: its
 * key is what makes a run of an occurrence the only one.
 */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** On which changes of jobs are hinted at. */
export const channel = "paystream_jobs"

/** Migration 30. */
export const create: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // `topic` and `payload` are of jobs that were added by hand: others are declared in code. Room in each page, so that
  // `decided_until` moves without touching an index.
  yield* sql`CREATE TABLE scheduled_jobs (
    name text PRIMARY KEY,
    schedule text NOT NULL,
    time_zone text NOT NULL,
    overlap text NOT NULL,
    catch_up text NOT NULL,
    topic text,
    payload text,
    decided_until timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
    paused_at timestamptz,
    removed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((topic IS NULL) = (payload IS NULL))
  ) WITH (fillfactor = 60)`
  yield* sql`CREATE INDEX scheduled_jobs_changed_at ON scheduled_jobs (changed_at)`
  yield* sql`CREATE FUNCTION scheduled_jobs_hint() RETURNS trigger LANGUAGE plpgsql AS ${sql.literal(
    `$$ BEGIN PERFORM pg_notify('${channel}', ''); RETURN NULL; END $$`
  )}`
  yield* sql`CREATE TRIGGER scheduled_jobs_hint AFTER INSERT OR UPDATE OF changed_at ON scheduled_jobs
    FOR EACH STATEMENT EXECUTE FUNCTION scheduled_jobs_hint()`
  yield* sql`CREATE SEQUENCE job_run_tokens AS bigint`
  yield* sql`CREATE TABLE job_runs (
    job text NOT NULL,
    scheduled_for timestamptz NOT NULL,
    is_manual boolean NOT NULL DEFAULT false,
    is_open boolean NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    fencing_token bigint NOT NULL DEFAULT 0,
    replica text,
    leased_until timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    finished_at timestamptz,
    outcome text CHECK (outcome IN ('succeeded', 'failed', 'timed_out', 'skipped', 'interrupted')),
    error text,
    result json,
    PRIMARY KEY (job, scheduled_for)
  )`
  yield* sql`CREATE INDEX job_runs_open ON job_runs (job, scheduled_for) WHERE is_open`
  yield* sql`CREATE INDEX job_runs_scheduled_for ON job_runs (scheduled_for)`
})

/** Migration 32, its second half: how many holders of a run were lost. */
export const countLosses: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE job_runs ADD COLUMN IF NOT EXISTS losses integer NOT NULL DEFAULT 0`
})
