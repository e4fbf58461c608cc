/** The table `sandbox_charges`: the books of the sandbox, one row for each payment. */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** Migration 13. */
export const create: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE sandbox_charges (
    reference text PRIMARY KEY,
    payment_id text NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    payment_method text NOT NULL,
    status text NOT NULL,
    attempts integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    charged_at timestamptz,
    refunded_at timestamptz
  )`
})
