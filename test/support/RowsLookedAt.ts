/** What a statement costs the database, whatever it finds. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { Outbox } from "../../src/domain/ports/Outbox.ts"

interface Counts {
  readonly scans: number
  readonly rows: number
}

/** Of one session, so far. */
const countsOf = (table: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      sql<Counts>`
        SELECT coalesce(seq_scan, 0)::int AS scans, coalesce(idx_tup_fetch, 0)::int AS rows
        FROM pg_stat_xact_user_tables WHERE relname = ${table}`,
      ([counts]) => counts ?? { scans: 0, rows: 0 }
    )
  )

/** What `ask` gives, how often it reads the whole table for it, and how many of its rows it looks up by an index. */
export const rowsLookedAt = <A, E, R>(table: string, ask: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox
    // In one transaction, and so in one session: that is whose counts these are.
    const [before, found, after] = yield* outbox.transaction(Effect.all([countsOf(table), ask, countsOf(table)]))
    return { found, scans: after.scans - before.scans, rows: after.rows - before.rows }
  })
