/** Payments in PostgreSQL, with one insert for a whole batch. */
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { PaymentStore } from "../../domain/ports/PaymentStore.ts"
import { StoreError, StoreRefused } from "../../domain/StoreError.ts"
import * as Availability from "../../streams/Availability.ts"
import { removing } from "./OldRows.ts"
import { type Attempt, badId, fillGaps, halving, type Rows, undecided, unstorableId } from "./PaymentBatch.ts"
import { compare, insert, type Target } from "./PaymentStatements.ts"
import { missingRights, unguardedUpTo } from "./PaymentsTable.ts"
import * as Statements from "./Statements.ts"

/**
 * Says once that the database went away, and once that it is back. An answer to a probe is no end of what storing
 * complains of (a right that is missing, a full disk).
 */
const watching = (address: string) => {
  const { watch } = Availability.make("PostgreSQL", address)
  let complains = false
  // Half an answer is no sign that the database is back.
  const isWhole = (result: unknown) => !(Array.isArray(result) && result.includes(undecided))
  const complaint = (standing: boolean) =>
    Effect.sync(() => {
      complains = standing
    })
  const storing = <A, R>(effect: Effect.Effect<A, StoreError, R>) =>
    watch(
      effect.pipe(
        Effect.tap((result) => (isWhole(result) ? complaint(false) : Effect.void)),
        Effect.tapError(() => complaint(true))
      ),
      { back: isWhole }
    )
  const probe = <A, R>(effect: Effect.Effect<A, StoreError, R>) => watch(effect, { back: () => !complains })
  return { storing, probe }
}

const make = Effect.fnUntraced(function* (options: Statements.StatementOptions) {
  const { away, limited, prepare, run, sql } = yield* Statements.make(options)
  const watched = watching(options.address)

  // Read once: what the guard covers is settled by the migration that makes it.
  let guard: { readonly unguardedUpTo: string | undefined } | undefined
  const readGuard = Effect.gen(function* () {
    if (guard !== undefined) return guard.unguardedUpTo
    const upTo = yield* run(limited(Effect.provideService(unguardedUpTo, SqlClient.SqlClient, sql)))
    if (upTo === "no guard") return yield* away("table payments has no unique guard; run --mode=migrate", "no_guard")
    guard = { unguardedUpTo: upTo }
    return upTo
  })

  const store = Effect.fnUntraced(function* (target: Target, payments: Rows) {
    const upTo = yield* readGuard
    const attempt =
      <A>(work: Attempt<A>): Attempt<A> =>
      (rows) =>
        limited(work(rows))
    const start = payments.map((row) => (unstorableId(row) ? badId : undefined))
    const inserted = yield* run(fillGaps(payments, start, (rows) => halving(rows, attempt(insert(sql, target, upTo)))))
    // What was inserted stays so if comparing fails; a row that was there and is gone was removed this very moment.
    const outcomes = yield* fillGaps(payments, inserted, (rows) =>
      Effect.orElseSucceed(halving(rows, attempt(compare(sql, target))), () => [])
    )
    return outcomes.map((outcome) => outcome ?? undecided)
  })

  const permitted = Effect.gen(function* () {
    const missing = yield* run(limited(Effect.provideService(missingRights, SqlClient.SqlClient, sql)))
    if (missing === undefined) return
    const { rights, role } = missing
    const detail = `PostgreSQL at ${options.address}: role ${role} lacks rights; GRANT ${rights} ON payments TO ${role}`
    return yield* new StoreError({ reason: new StoreRefused({ detail }) })
  })

  return PaymentStore.of({
    address: options.address,
    store: (queue, payments, share) => watched.storing(store({ queue, share }, payments)),
    forget: removing(sql, (statement) => run(limited(statement)), {
      table: "payments",
      key: "id",
      at: "received_at",
      among: "true"
    }),
    prepare: watched.storing(prepare),
    permitted: watched.probe(permitted),
    ping: watched.probe(Effect.asVoid(run(limited(sql`SELECT 1`))))
  })
})

/** The store on a pool of connections; connects when first used. */
export const layer = (options: Statements.StatementOptions): Layer.Layer<PaymentStore, never, SqlClient.SqlClient> =>
  Layer.effect(PaymentStore, make(options))
