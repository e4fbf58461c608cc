/** Payments in PostgreSQL, with one insert for a whole batch. */
import { Effect, Layer, Predicate } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { PaymentStore, StoreAway, StoreError, StoreOutdated } from "../../domain/ports/PaymentStore.ts"
import * as Availability from "../../streams/Availability.ts"
import * as Migrations from "./Migrations.ts"
import { badId, compare, fillGaps, halving, insert, type Rows, unstorableId } from "./PaymentBatch.ts"
import { unguardedUpTo } from "./PaymentsTable.ts"
import { asStoreError, toStoreError } from "./SqlState.ts"

/** Far above any healthy batch; below it a frozen server would leave a process that lives and does nothing. */
const statementTimeout = "30 seconds"

export interface PostgresPaymentStoreOptions {
  /** Host, port and database: for logs and errors. */
  readonly address: string
  readonly migrateOnStart: boolean
}

/**
 * Says once that the database went away, and once that it is back. An answer to a probe is no end of what storing
 * complains of (a right that is missing, a full disk).
 */
const watching = (address: string) => {
  const availability = Availability.make("PostgreSQL", address)
  let complaint: StoreError | undefined
  const watched =
    (by: "storing" | "probe") =>
    <A, R>(effect: Effect.Effect<A, StoreError, R>): Effect.Effect<A, StoreError, R> =>
      effect.pipe(
        Effect.tap(() => {
          if (by === "storing") complaint = undefined
          return complaint === undefined ? availability.connected : Effect.void
        }),
        Effect.tapError((error) => {
          if (by === "storing") complaint = error
          return error.isRetryable ? availability.away(error.message) : Effect.void
        })
      )
  return { storing: watched("storing"), probe: watched("probe") }
}

const make = Effect.fnUntraced(function* (options: PostgresPaymentStoreOptions) {
  const sql = yield* SqlClient.SqlClient
  const watched = watching(options.address)
  const away = (detail: string, code: string) =>
    new StoreError({ reason: new StoreAway({ detail: `PostgreSQL at ${options.address}: ${detail}`, code }) })
  const unanswered = Effect.fail(away(`no answer within ${statementTimeout}`, "timeout"))

  const run = <A>(effect: Effect.Effect<A, SqlError.SqlError>) =>
    effect.pipe(
      Effect.mapError(toStoreError(options.address)),
      Effect.timeoutOrElse({ duration: statementTimeout, orElse: () => unanswered })
    )

  // Read once: what the guard covers is settled by the migration that makes it.
  let guard: { readonly unguardedUpTo: string | undefined } | undefined
  const readGuard = Effect.gen(function* () {
    if (guard !== undefined) return guard.unguardedUpTo
    const upTo = yield* run(Effect.provideService(unguardedUpTo, SqlClient.SqlClient, sql))
    if (upTo === "no guard") return yield* away("table payments has no unique guard; run --mode=migrate", "no_guard")
    guard = { unguardedUpTo: upTo }
    return upTo
  })

  const store = Effect.fnUntraced(function* (queue: string, payments: Rows) {
    const upTo = yield* readGuard
    const start = payments.map((row) => (unstorableId(row) ? badId : undefined))
    const inserted = yield* fillGaps(payments, start, (rows) => run(halving(rows, insert(sql, queue, upTo))))
    const outcomes = yield* fillGaps(payments, inserted, (rows) => run(halving(rows, compare(sql, queue))))
    // A row that was there and is gone was removed this very moment: storing again decides.
    if (!outcomes.every(Predicate.isNotUndefined)) return yield* away("a row vanished while it was compared", "retry")
    return outcomes
  })

  return PaymentStore.of({
    address: options.address,
    store: (queue, payments) => watched.storing(store(queue, payments)),
    prepare: watched.storing(prepare(options)).pipe(Effect.provideService(SqlClient.SqlClient, sql)),
    ping: watched.probe(Effect.asVoid(run(sql`SELECT 1`)))
  })
})

/** Migrates what is pending, or names it where this process may not. */
const prepare = Effect.fnUntraced(function* ({ address, migrateOnStart }: PostgresPaymentStoreOptions) {
  const missing = yield* Effect.mapError(Migrations.missing, toStoreError(address))
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

/** The store on a pool of connections; connects when first used. */
export const layer = (options: PostgresPaymentStoreOptions): Layer.Layer<PaymentStore, never, SqlClient.SqlClient> =>
  Layer.effect(PaymentStore, make(options))
