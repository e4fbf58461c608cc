/** The audit log in PostgreSQL. */
import { Duration, Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import { AuditLog } from "../../domain/ports/AuditLog.ts"
import type * as Statements from "./Statements.ts"
import * as Tables from "./Tables.ts"

interface Row {
  readonly message_id: string
  readonly transaction_id: string
  readonly action: string
  readonly detail: string | null
  readonly happened_at: Date
}

const make = Effect.fnUntraced(function* (options: Statements.StatementOptions) {
  const { run, sql } = yield* Tables.make(options)
  return AuditLog.of({
    record: ({ action, atMillis, detail, id, transactionId }) =>
      Effect.asVoid(
        run(sql`
          INSERT INTO pix_audit_log (message_id, transaction_id, action, detail, happened_at)
          VALUES (${id}, ${transactionId}, ${action}, ${detail ?? null}, ${new Date(atMillis)})
          ON CONFLICT (message_id) DO NOTHING`)
      ),
    history: (transactionId) =>
      Effect.map(
        run(sql<Row>`
          SELECT message_id, transaction_id, action, detail, happened_at FROM pix_audit_log
          WHERE transaction_id = ${transactionId} ORDER BY happened_at, id`),
        (rows) =>
          rows.map((row) => ({
            id: row.message_id,
            transactionId: row.transaction_id,
            action: row.action,
            detail: row.detail ?? undefined,
            atMillis: row.happened_at.getTime()
          }))
      ),
    // By their ids, which are in the order of recording: no index on times is needed.
    forget: (age, limit) =>
      Effect.map(
        run(sql<{ removed: number }>`
          WITH first AS (SELECT id, recorded_at FROM pix_audit_log ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED),
          removed AS (
            DELETE FROM pix_audit_log USING first WHERE pix_audit_log.id = first.id
              AND first.recorded_at < now() - ${Duration.toMillis(age)}::float8 * interval '1 millisecond'
            RETURNING 1
          )
          SELECT count(*)::int AS removed FROM removed`),
        ([row]) => row?.removed ?? 0
      )
  })
})

/** The log on a pool of connections; connects, and makes its table, when first used. */
export const layer = (options: Statements.StatementOptions): Layer.Layer<AuditLog, never, SqlClient.SqlClient> =>
  Layer.effect(AuditLog, make(options))
