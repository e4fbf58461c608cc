/**
 * Payments and payment intents that somebody has marked as deleted (`deleted_at`), and that are still there.
 *
 * ## Guarantees
 * - Only what was marked longer ago than `age` is removed, so many rows of a kind at most, and what a row's own history
 *   says with it.
 * - Nobody is waited for: a row that somebody holds is left for the next time.
 * - Time is the store's own.
 */
import { Context, type Duration, type Effect } from "effect"
import type { StoreError } from "../StoreError.ts"

/** How many were removed. */
export interface RemovedRows {
  readonly payments: number
  readonly paymentIntents: number
}

export class DeletedRows extends Context.Service<
  DeletedRows,
  { readonly remove: (age: Duration.Duration, limit: number) => Effect.Effect<RemovedRows, StoreError> }
>()("paystream/domain/ports/DeletedRows") {}
