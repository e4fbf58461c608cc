/** The table `weekly_reports`: one row for each week, whose key is what lets a report be published once. */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** Migration 32, its first half. */
export const create: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE weekly_reports (
    week timestamptz PRIMARY KEY,
    report json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
  )`
})
