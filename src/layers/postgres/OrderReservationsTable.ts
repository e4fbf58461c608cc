/** The table `order_reservations`: orders, the payment that holds each, and whether it is paid or cancelled. */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** Migration 12. */
export const create: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE order_reservations (
    order_id text PRIMARY KEY,
    payment_id uuid,
    confirmed_at timestamptz CHECK (confirmed_at IS NULL OR payment_id IS NOT NULL),
    cancelled_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
  )`
})
