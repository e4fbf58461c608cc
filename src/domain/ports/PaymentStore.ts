/**
 * What the payment worker needs from a database.
 *
 * ## Guarantees
 * - When `store` succeeds, every payment said to be stored is committed, durably.
 * - Per queue and message id there is one row at most, whoever stores and however often.
 * - Only the payments that the database refuses for what they are get `Rejected`; their neighbours are stored.
 * - With a share of a run, what is stored or found to be a duplicate is counted in the same transaction, and nothing is
 *   stored that the share has no room for. What this run has stored before is counted once, however often it comes again.
 * - Time is the store's own. What was forgotten is not known any more: it is stored again if it comes again.
 * - A failure says nothing of the rows: the batch may or may not have been committed, and is safe to store again. What
 *   is decided when the database goes away midway is said, and the rest is `Undecided`.
 */
import { Context, type Duration, type Effect } from "effect"
import type { StoreError } from "../StoreError.ts"
import type { RunShare } from "../WorkerRun.ts"

/** A payment as received: `payload` is the body's own text, JSON that has been checked but not re-serialized. */
export interface ReceivedPayment {
  readonly id: string | undefined
  readonly payload: string
  /**
   * Whether it may have been stored already: delivered before, or part of a batch that failed. Only runs care; without
   * it a payment of an id that the run has stored is a second message, and counts.
   */
  readonly cameAgain?: boolean
}

/** What became of one payment. `detail` may quote the payload: it belongs in a dead letter, never in a log. */
export type StoreOutcome =
  | { readonly _tag: "Stored" }
  /** The same id with an equal payload is there already. */
  | { readonly _tag: "Duplicate" }
  /** The share has no room for it, or is another's by now: it goes back to the queue. */
  | { readonly _tag: "OutOfShare" }
  /** The same id with another payload is there already. */
  | { readonly _tag: "Conflict" }
  | { readonly _tag: "Rejected"; readonly sqlState: string; readonly detail: string }
  /** The database went away before it said anything of this one: it is to be stored again. */
  | { readonly _tag: "Undecided" }

export class PaymentStore extends Context.Service<
  PaymentStore,
  {
    /** Where it is, without credentials: for logs and errors. */
    readonly address: string
    /** The outcomes of `payments`, in their order. */
    readonly store: (
      queue: string,
      payments: ReadonlyArray<ReceivedPayment>,
      share?: RunShare
    ) => Effect.Effect<ReadonlyArray<StoreOutcome>, StoreError>
    /** Removes at most `limit` that were received longer ago than `age`; the number of those removed. */
    readonly forget: (age: Duration.Duration, limit: number) => Effect.Effect<number, StoreError>
    /** Makes the tables, or checks them where this process may not change them; done again, changes nothing. */
    readonly prepare: Effect.Effect<void, StoreError>
    /** Refused where this process lacks a right that storing takes. */
    readonly permitted: Effect.Effect<void, StoreError>
    /** Succeeds when the database answers. */
    readonly ping: Effect.Effect<void, StoreError>
  }
>()("paystream/domain/ports/PaymentStore") {}
