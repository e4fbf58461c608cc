/** How every store here asks the database: bounded in time, its errors told as ours, its tables made before. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import { SqlClient } from "effect/sql"
import { StoreAway, StoreError, StoreOutdated } from "../../domain/StoreError.ts"
import * as Migrations from "./Migrations.ts"
import { asStoreError, toStoreError } from "./SqlState.ts"

/**
 * For one statement: far above any healthy batch, and well below the time that a drain has. Without it a frozen server
 * would leave a process that lives and does nothing.
 */
export const statementTimeout = "20 seconds"

export interface StatementOptions {
  /** Host, port and database: for logs and errors. */
  readonly address: string
  readonly migrateOnStart: boolean
}

/** Asking one database. */
export const make = Effect.fnUntraced(function* ({ address, migrateOnStart }: StatementOptions) {
  const sql = yield* SqlClient.SqlClient
  const away = (detail: string, code: string) =>
    new StoreError({ reason: new StoreAway({ detail: `PostgreSQL at ${address}: ${detail}`, code }) })
  const unanswered = Effect.fail(away(`no answer within ${statementTimeout}`, "timeout"))

  const limited = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | StoreError, R> =>
    Effect.timeoutOrElse(effect, { duration: statementTimeout, orElse: () => unanswered })
  const run = <A>(effect: Effect.Effect<A, SqlError.SqlError | StoreError>): Effect.Effect<A, StoreError> =>
    Effect.mapError(effect, (error) => (error._tag === "SqlError" ? toStoreError(address)(error) : error))

  /** Migrates what is pending, or names it where this process may not. */
  const prepare = Effect.gen(function* () {
    const missing = yield* limited(Effect.mapError(Migrations.missing, toStoreError(address)))
    if (missing.length === 0) return
    if (!migrateOnStart) {
      const detail =
        `PostgreSQL at ${address} lacks ${missing.join(", ")}, and MIGRATE_ON_START is false: ` +
        "run `bun run main --mode=migrate` with a role that may create tables"
      return yield* new StoreError({ reason: new StoreOutdated({ detail }) })
    }
    const names = yield* Effect.mapError(Migrations.migrate, asStoreError(address))
    if (names.length > 0) yield* Effect.logInfo("migrated").pipe(Effect.annotateLogs({ migrations: names.join(", ") }))
  })

  return { sql, away, limited, run, prepare: Effect.provideService(prepare, SqlClient.SqlClient, sql) }
})
