/** How the outbox stands as a whole, and what keeps it small. */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { slotCount } from "../../domain/OutboxEvent.ts"
import type { OpenTransaction, Outbox } from "../../domain/ports/Outbox.ts"
import { removing } from "./OldRows.ts"
import type { Floors } from "./OutboxFloors.ts"
import { bigints, integers, type Run } from "./OutboxStatements.ts"

type Upkeep = Pick<Outbox["Service"], "removePublished" | "glance" | "stats">

interface StatsRow {
  readonly pending: number
  readonly failing: number
  readonly held: number
  readonly dead: number
  readonly skipped: number
  readonly oldest_millis: number
}

interface TransactionRow {
  readonly id: string
  readonly who: string
  readonly state: string
  readonly age_millis: number
}

const allSlots = Array.from({ length: slotCount }, (_, slot) => slot)

// Whoever writes to a table holds a lock on it until its transaction ends; nobody else can have events to come.
const openTransactionsOf = (sql: SqlClient.SqlClient) =>
  sql<TransactionRow>`
    SELECT lock.virtualtransaction AS id,
      coalesce('process ' || lock.pid || nullif(' (' || session.application_name || ')', ' ()'), 'process ' || lock.pid,
        'prepared transaction ' || prepared.gid, 'a prepared transaction') AS who,
      coalesce(session.state, CASE WHEN lock.pid IS NULL THEN 'prepared' ELSE 'unknown' END) AS state,
      coalesce(extract(epoch FROM clock_timestamp() - coalesce(session.xact_start, prepared.prepared)) * 1000, 0)::float8
        AS age_millis
    FROM pg_locks AS lock
    LEFT JOIN pg_stat_activity AS session ON session.pid = lock.pid
    LEFT JOIN pg_prepared_xacts AS prepared
      ON lock.pid IS NULL AND prepared.transaction::text = split_part(lock.virtualtransaction, '/', 2)
    WHERE lock.locktype = 'relation' AND lock.relation = 'outbox_events'::regclass
      AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND lock.mode = 'RowExclusiveLock' AND lock.pid IS DISTINCT FROM pg_backend_pid()
    ORDER BY age_millis DESC`

/** The part of the outbox that is about all of it. */
export const make = (sql: SqlClient.SqlClient, run: Run, floors: Floors): Upkeep => {
  const openTransactions = openTransactionsOf(sql)
  return {
    removePublished: removing(sql, run, {
      table: "outbox_events",
      key: "id",
      at: "published_at",
      among: "published_at IS NOT NULL"
    }),
    glance: Effect.fnUntraced(function* ({ maxAttempts }) {
      const [row] = yield* run(sql<{ dead: number; oldest_millis: number }>`
        SELECT waiting.dead, (extract(epoch FROM clock_timestamp() - least(waiting.oldest, new.oldest)) * 1000)::float8
          AS oldest_millis
        FROM (
          SELECT count(*) FILTER (WHERE attempts >= ${maxAttempts} AND skipped_at IS NULL)::int AS dead,
            min(created_at) FILTER (WHERE attempts < ${maxAttempts}) AS oldest
          FROM outbox_events WHERE published_at IS NULL AND next_attempt_at IS NOT NULL
        ) AS waiting, (
          SELECT min(first.created_at) AS oldest
          FROM unnest(${integers(allSlots)}, ${bigints(allSlots.map(floors.of))}) AS every(slot, floor)
          CROSS JOIN LATERAL (
            SELECT created_at FROM outbox_events
            WHERE outbox_events.slot = every.slot AND sequence > every.floor
              AND published_at IS NULL AND next_attempt_at IS NULL
            ORDER BY sequence LIMIT 1
          ) AS first
        ) AS new`)
      const open = yield* run(openTransactions)
      return {
        dead: row?.dead ?? 0,
        oldestPendingMillis: row?.oldest_millis ?? 0,
        openTransactions: open.map(toOpenTransaction)
      }
    }),
    stats: Effect.fnUntraced(function* ({ maxAttempts }) {
      const isDead = sql`attempts >= ${maxAttempts}`
      const [row] = yield* run(sql<StatsRow>`
        SELECT count(*) FILTER (WHERE next_attempt_at IS NULL)::int AS pending,
          count(*) FILTER (WHERE next_attempt_at IS NOT NULL AND attempts > 0 AND NOT ${isDead})::int AS failing,
          count(*) FILTER (WHERE next_attempt_at IS NOT NULL AND attempts = 0)::int AS held,
          count(*) FILTER (WHERE next_attempt_at IS NOT NULL AND ${isDead} AND skipped_at IS NULL)::int AS dead,
          count(*) FILTER (WHERE next_attempt_at IS NOT NULL AND ${isDead} AND skipped_at IS NOT NULL)::int AS skipped,
          coalesce(extract(epoch FROM clock_timestamp() - min(created_at) FILTER (WHERE NOT ${isDead})) * 1000, 0)::float8
            AS oldest_millis
        FROM outbox_events WHERE published_at IS NULL`)
      const open = yield* run(openTransactions)
      const { oldest_millis = 0, ...counts } = row ?? { pending: 0, failing: 0, held: 0, dead: 0, skipped: 0 }
      return { ...counts, oldestPendingMillis: oldest_millis, openTransactions: open.map(toOpenTransaction) }
    })
  }
}

const toOpenTransaction = ({ age_millis, ...row }: TransactionRow): OpenTransaction => ({
  ...row,
  ageMillis: age_millis
})
