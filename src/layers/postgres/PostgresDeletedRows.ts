/** Rows that were marked as deleted, in PostgreSQL. */
import { Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import { DeletedRows } from "../../domain/ports/DeletedRows.ts"
import { removing } from "./OldRows.ts"
import type { StatementOptions } from "./Statements.ts"
import * as Tables from "./Tables.ts"

const make = Effect.fnUntraced(function* (options: StatementOptions) {
  const { run, sql } = yield* Tables.make(options)
  const removeFrom = (table: "payments" | "payment_intents") =>
    removing(sql, run, { table, key: "id", at: "deleted_at", among: "deleted_at IS NOT NULL" })
  const [fromPayments, fromIntents] = [removeFrom("payments"), removeFrom("payment_intents")]

  return DeletedRows.of({
    remove: (age, limit) => Effect.all({ payments: fromPayments(age, limit), paymentIntents: fromIntents(age, limit) })
  })
})

/** On a pool of connections; connects when first used. */
export const layer = (options: StatementOptions): Layer.Layer<DeletedRows, never, SqlClient.SqlClient> =>
  Layer.effect(DeletedRows, make(options))
