/** What operators see of single events, and do about them. */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { isDead } from "../../domain/OutboxOrder.ts"
import type { EventState, EventSummary, Outbox } from "../../domain/ports/Outbox.ts"
import { type Run, uuids } from "./OutboxStatements.ts"
import { channel } from "./OutboxTable.ts"

type Operations = Pick<Outbox["Service"], "list" | "retry" | "skip">

interface SummaryRow {
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly created_at: Date
  readonly attempts: number
  readonly last_error: string | null
  readonly next_attempt_at: Date | null
  readonly is_skipped: boolean
}

const stateOf = (row: SummaryRow, maxAttempts: number): EventState => {
  if (row.next_attempt_at === null) return "pending"
  if (row.attempts === 0) return "held"
  if (!isDead(row, { maxAttempts, dead: "hold" })) return "failing"
  return row.is_skipped ? "skipped" : "dead"
}

/** The part of the outbox that is for operators. */
export const make = (sql: SqlClient.SqlClient, run: Run): Operations => {
  const wakeRelays = run(sql`SELECT pg_notify(${channel}, 'waiting')`)
  const changed = (rows: ReadonlyArray<{ readonly id: string }>) =>
    Effect.as(
      rows.length === 0 ? Effect.void : wakeRelays,
      rows.map(({ id }) => id)
    )

  return {
    list: ({ maxAttempts }, { limit, onlyDead }) =>
      Effect.map(
        run(sql<SummaryRow>`
          SELECT id, topic, key, created_at, attempts, last_error, next_attempt_at, (skipped_at IS NOT NULL) AS is_skipped
          FROM outbox_events
          WHERE published_at IS NULL
            ${onlyDead ? sql`AND next_attempt_at IS NOT NULL AND attempts >= ${maxAttempts}` : sql``}
          ORDER BY sequence LIMIT ${limit}`),
        (rows) => rows.map((row) => toSummary(row, maxAttempts))
      ),
    retry: (ids) =>
      Effect.flatMap(
        run(sql<{ id: string }>`
          UPDATE outbox_events SET attempts = 0, skipped_at = NULL, next_attempt_at = clock_timestamp()
          WHERE published_at IS NULL AND next_attempt_at IS NOT NULL AND attempts > 0
            ${ids === "all" ? sql`` : sql`AND id = ANY(${uuids(ids)})`}
          RETURNING id`),
        changed
      ),
    skip: (ids, { maxAttempts }) =>
      Effect.flatMap(
        run(sql<{ id: string }>`
          UPDATE outbox_events SET skipped_at = clock_timestamp()
          WHERE published_at IS NULL AND next_attempt_at IS NOT NULL AND attempts >= ${maxAttempts}
            AND id = ANY(${uuids(ids)})
          RETURNING id`),
        changed
      )
  }
}

const toSummary = (row: SummaryRow, maxAttempts: number): EventSummary => ({
  id: row.id,
  topic: row.topic,
  key: row.key ?? undefined,
  createdAt: row.created_at,
  attempts: row.attempts,
  lastError: row.last_error ?? undefined,
  nextAttemptAt: row.next_attempt_at ?? undefined,
  state: stateOf(row, maxAttempts)
})
