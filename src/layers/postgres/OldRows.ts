/** Removes what is older than it is to be kept: the oldest first, so many at a time, and nothing that others have in hand. */
import { Duration, Effect } from "effect"
import type { SqlClient, SqlError, Statement } from "effect/sql"
import type { StoreError } from "../../domain/StoreError.ts"

type Run = <A>(statement: Effect.Effect<A, SqlError.SqlError>) => Effect.Effect<A, StoreError>

/** Which rows, by names that an index knows. */
export interface OldRows {
  readonly table: string
  readonly key: string
  /** The time that counts. */
  readonly at: string
  /** Which of them may go at all, as the index's condition says it. */
  readonly among: string
  /** What goes with them, in further parts of the statement: it knows them as `old.key`. */
  readonly beside?: Statement.Fragment | undefined
}

/** Removes at most `limit` rows that are older than `age`; gives the number of those removed. */
export const removing = (sql: SqlClient.SqlClient, run: Run, { among, at, beside, key, table }: OldRows) => {
  const [name, id, time] = [sql.literal(table), sql.literal(key), sql.literal(at)]
  // now() and not the clock: an index is looked up with it, and ends where nothing is old.
  return (age: Duration.Duration, limit: number): Effect.Effect<number, StoreError> =>
    Effect.map(
      run(sql<{ removed: number }>`
        WITH old AS (
          SELECT ${id} AS key FROM ${name}
          WHERE ${sql.literal(among)} AND ${time} < now() - ${Duration.toMillis(age)}::float8 * interval '1 millisecond'
          ORDER BY ${time} LIMIT ${limit} FOR UPDATE SKIP LOCKED
        ), ${beside === undefined ? sql`` : sql`${beside},`}
        removed AS (DELETE FROM ${name} AS kept USING old WHERE kept.${id} = old.key RETURNING 1)
        SELECT count(*)::int AS removed FROM removed`),
      ([row]) => row?.removed ?? 0
    )
}
