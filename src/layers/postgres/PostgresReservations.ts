/** Orders and the payments that hold them, in PostgreSQL: an order's row decides. */
import { Effect, Layer } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { type Reservation, Reservations, type Reserved } from "../../domain/ports/Reservations.ts"
import type { StoreError } from "../../domain/StoreError.ts"
import { removing } from "./OldRows.ts"
import { isSettled } from "./OrderReservationsTable.ts"
import type * as Statements from "./Statements.ts"
import * as Tables from "./Tables.ts"

type Port = Reservations["Service"]
type Run = <A>(statement: Effect.Effect<A, SqlError.SqlError>) => Effect.Effect<A, StoreError>

const takingIn = (sql: SqlClient.SqlClient, run: Run): Pick<Port, "reserve" | "confirm"> => {
  // Nobody's or its own, and not cancelled. One that is its own and paid was confirmed before; who would reserve it begins
  // once more, and would charge it twice. Of a payment that is undone, or was, the request was on its way for longer than
  // its claim: nobody would ever release what it takes.
  const taken = ({ orderId, paymentId }: Reservation, isConfirmed: boolean) =>
    run(sql`
      INSERT INTO order_reservations AS mine (order_id, payment_id, confirmed_at)
      SELECT ${orderId}, ${paymentId}::uuid, CASE WHEN ${isConfirmed} THEN clock_timestamp() END
      WHERE NOT EXISTS (SELECT 1 FROM payment_intents
        WHERE id = ${paymentId}::uuid AND status IN ('failed', 'compensating', 'compensated'))
      ON CONFLICT (order_id) DO UPDATE SET payment_id = excluded.payment_id, updated_at = clock_timestamp(),
        confirmed_at = coalesce(mine.confirmed_at, excluded.confirmed_at)
      WHERE coalesce(mine.payment_id, excluded.payment_id) = excluded.payment_id
        AND CASE WHEN mine.confirmed_at IS NULL THEN mine.cancelled_at IS NULL ELSE ${isConfirmed}::boolean END
      RETURNING order_id`)
  const isCancelled = (orderId: string) =>
    Effect.map(
      run(sql<{ cancelled: boolean }>`
        SELECT cancelled_at IS NOT NULL AS cancelled FROM order_reservations WHERE order_id = ${orderId}`),
      ([order]) => order?.cancelled ?? false
    )
  const take = Effect.fnUntraced(function* (
    reservation: Reservation,
    isConfirmed: boolean
  ): Effect.fn.Return<Reserved, StoreError> {
    if ((yield* taken(reservation, isConfirmed)).length > 0) return { _tag: "Done" }
    return { _tag: "Refused", reason: (yield* isCancelled(reservation.orderId)) ? "order_cancelled" : "order_taken" }
  })

  return {
    reserve: (reservation) => take(reservation, false),
    confirm: (reservation) => take(reservation, true)
  }
}

const givingBackIn = (sql: SqlClient.SqlClient, run: Run): Pick<Port, "unconfirm" | "release" | "cancel"> => ({
  unconfirm: ({ orderId, paymentId }) =>
    Effect.asVoid(
      run(sql`
          UPDATE order_reservations SET confirmed_at = NULL, updated_at = clock_timestamp()
          WHERE order_id = ${orderId} AND payment_id = ${paymentId}`)
    ),
  release: Effect.fnUntraced(function* ({ orderId, paymentId }) {
    const isOwn = sql`order_id = ${orderId} AND payment_id = ${paymentId}`
    const gone = yield* run(sql`
        DELETE FROM order_reservations WHERE ${isOwn} AND cancelled_at IS NULL RETURNING order_id`)
    // One that was cancelled stays so, and a row is what says it.
    if (gone.length === 0)
      yield* run(sql`
          UPDATE order_reservations SET payment_id = NULL, confirmed_at = NULL, updated_at = clock_timestamp()
          WHERE ${isOwn}`)
  }),
  cancel: (orderId) =>
    Effect.asVoid(
      run(sql`
          INSERT INTO order_reservations AS mine (order_id, cancelled_at) VALUES (${orderId}, clock_timestamp())
          ON CONFLICT (order_id) DO UPDATE SET cancelled_at = coalesce(mine.cancelled_at, excluded.cancelled_at),
            payment_id = CASE WHEN mine.confirmed_at IS NOT NULL THEN mine.payment_id END, updated_at = clock_timestamp()`)
    )
})

const settled = { table: "order_reservations", key: "order_id", at: "updated_at", among: isSettled }

const make = Effect.fnUntraced(function* (options: Statements.StatementOptions) {
  const { run, sql } = yield* Tables.make(options)
  return Reservations.of({ ...takingIn(sql, run), ...givingBackIn(sql, run), forget: removing(sql, run, settled) })
})

/** The reservations on a pool of connections; connects, and makes its table, when first used. */
export const layer = (options: Statements.StatementOptions): Layer.Layer<Reservations, never, SqlClient.SqlClient> =>
  Layer.effect(Reservations, make(options))
