/** The table `order_reservations`: orders, the payment that holds each, and whether it is paid or cancelled. */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** Orders that are paid, cancelled or nobody's: as the index says it, so that statements can use it. */
export const isSettled = "(payment_id IS NULL OR confirmed_at IS NOT NULL)"

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

/** Migration 25: what is to be removed one day. */
export const indexSettled: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE INDEX idx_order_reservations_settled ON order_reservations (updated_at)
    WHERE ${sql.literal(isSettled)}`
})
