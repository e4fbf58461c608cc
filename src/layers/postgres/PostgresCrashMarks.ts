/** Crash marks in PostgreSQL: a row while what came again is handled, and no longer unless the process dies. */
import { Duration, Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import { CrashMarks } from "../../domain/ports/CrashMarks.ts"
import * as Statements from "./Statements.ts"

const make = Effect.fnUntraced(function* (options: Statements.StatementOptions) {
  const { limited, prepare, run, sql } = yield* Statements.make(options)
  return CrashMarks.of({
    begun: ({ consumer, identity }) => {
      const find = sql<{ begun: number }>`
        SELECT begun FROM crash_marks WHERE consumer = ${consumer} AND identity = ${identity}`
      return Effect.map(run(limited(find)), ([row]) => row?.begun ?? 0)
    },
    begin: ({ consumer, identity }) => {
      const begin = sql<{ before: number }>`
        INSERT INTO crash_marks AS mark (consumer, identity, begun) VALUES (${consumer}, ${identity}, 1)
        ON CONFLICT (consumer, identity) DO UPDATE SET begun = mark.begun + 1, begun_at = now()
        RETURNING begun - 1 AS before`
      return Effect.map(run(limited(begin)), ([row]) => row?.before ?? 0)
    },
    end: ({ consumer, identity }) =>
      Effect.asVoid(run(limited(sql`DELETE FROM crash_marks WHERE consumer = ${consumer} AND identity = ${identity}`))),
    forget: (age, limit) => {
      const forget = sql<{ removed: number }>`
        WITH old AS (
          SELECT consumer, identity FROM crash_marks
          WHERE begun_at < now() - ${Duration.toMillis(age)}::float8 * interval '1 millisecond'
          LIMIT ${limit}
          FOR UPDATE SKIP LOCKED
        ), removed AS (
          DELETE FROM crash_marks USING old
          WHERE crash_marks.consumer = old.consumer AND crash_marks.identity = old.identity
          RETURNING 1
        )
        SELECT count(*)::int AS removed FROM removed`
      return Effect.map(run(limited(forget)), ([row]) => row?.removed ?? 0)
    },
    prepare
  })
})

/** On a pool of connections; connects when first used. */
export const layer = (options: Statements.StatementOptions): Layer.Layer<CrashMarks, never, SqlClient.SqlClient> =>
  Layer.effect(CrashMarks, make(options))
