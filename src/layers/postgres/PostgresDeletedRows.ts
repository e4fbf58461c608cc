/** Rows that were marked as deleted, in PostgreSQL. */
import { Duration, Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import { DeletedRows } from "../../domain/ports/DeletedRows.ts"
import type { StatementOptions } from "./Statements.ts"
import * as Tables from "./Tables.ts"

const make = Effect.fnUntraced(function* (options: StatementOptions) {
  const { run, sql } = yield* Tables.make(options)
  const removeFrom = (table: "payments" | "payment_intents", age: Duration.Duration, limit: number) =>
    Effect.map(
      run(sql<{ removed: number }>`
        WITH old AS (
          SELECT id FROM ${sql(table)}
          WHERE deleted_at < clock_timestamp() - ${Duration.toMillis(age)}::float8 * interval '1 millisecond'
          ORDER BY deleted_at LIMIT ${limit} FOR UPDATE SKIP LOCKED
        ), removed AS (DELETE FROM ${sql(table)} AS kept USING old WHERE kept.id = old.id RETURNING 1)
        SELECT count(*)::int AS removed FROM removed`),
      ([row]) => row?.removed ?? 0
    )

  return DeletedRows.of({
    remove: (age, limit) =>
      Effect.all({
        payments: removeFrom("payments", age, limit),
        paymentIntents: removeFrom("payment_intents", age, limit)
      })
  })
})

/** On a pool of connections; connects when first used. */
export const layer = (options: StatementOptions): Layer.Layer<DeletedRows, never, SqlClient.SqlClient> =>
  Layer.effect(DeletedRows, make(options))
