/** Statements of a store whose tables are migrated, or checked, before the first one that gets through. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { StoreError } from "../../domain/StoreError.ts"
import * as Statements from "./Statements.ts"

/** Asking one database. */
export const make = Effect.fnUntraced(function* (options: Statements.StatementOptions) {
  const statements = yield* Statements.make(options)
  let isPrepared = false
  const markPrepared = Effect.sync(() => {
    isPrepared = true
  })
  const prepareOnce = Effect.suspend(() =>
    isPrepared ? Effect.void : Effect.andThen(statements.prepare, markPrepared)
  )
  const run = <A>(statement: Effect.Effect<A, SqlError.SqlError>): Effect.Effect<A, StoreError> =>
    Effect.andThen(prepareOnce, statements.run(statements.limited(statement)))
  /** Whoever asks bounds it. */
  const runLong = <A>(statement: Effect.Effect<A, SqlError.SqlError>): Effect.Effect<A, StoreError> =>
    Effect.andThen(prepareOnce, statements.run(statement))
  return { sql: statements.sql, run, runLong }
})
