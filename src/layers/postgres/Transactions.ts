/** Transactions as the ports see them: who is inside of one can tell by a service that only it provides. */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { Transaction } from "../../domain/ports/Transaction.ts"
import type { StoreError } from "../../domain/StoreError.ts"
import { toStoreError } from "./SqlState.ts"

/**
 * Runs work in a transaction; all statements on this client take part in it. One inside of another commits with the
 * outer one.
 */
export const inTransaction =
  (sql: SqlClient.SqlClient, address: string) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E | StoreError, Exclude<R, Transaction>> =>
    Effect.suspend(() => {
      let isOpen = true
      const close = Effect.sync(() => {
        isOpen = false
      })
      const transaction = Transaction.of({ handle: sql, isOpen: () => isOpen })
      const inside = Effect.ensuring(Effect.provideService(work, Transaction, transaction), close)
      // The work's own errors stay what they are: only those of the transaction's own statements are translated.
      return sql
        .withTransaction(Effect.mapError(inside, (error) => new OfWork(error)))
        .pipe(Effect.mapError((error) => (error instanceof OfWork ? error.error : toStoreError(address)(error))))
    }) as Effect.Effect<A, E | StoreError, Exclude<R, Transaction>>

class OfWork<E> {
  readonly error: E
  constructor(error: E) {
    this.error = error
  }
}
