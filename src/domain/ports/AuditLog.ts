/**
 * What has happened to payments, kept for people who ask.
 *
 * ## Guarantees
 * - When `record` succeeds, the entry is committed, durably.
 * - One entry per id, whoever records it and however often: the first one stays.
 * - A history is in the order in which its steps happened; steps of the same moment in the order of their recording.
 */
import { Context, type Duration, type Effect } from "effect"
import type { AuditEntry } from "../PixHistory.ts"
import type { StoreError } from "../StoreError.ts"

export class AuditLog extends Context.Service<
  AuditLog,
  {
    readonly record: (entry: AuditEntry) => Effect.Effect<void, StoreError>
    /** The steps of one transaction; none if it is not known. */
    readonly history: (transactionId: string) => Effect.Effect<ReadonlyArray<AuditEntry>, StoreError>
    /**
     * Removes those recorded longer ago than `age`, by the store's own time, of the `limit` that were recorded first;
     * the number of those removed.
     */
    readonly forget: (age: Duration.Duration, limit: number) => Effect.Effect<number, StoreError>
  }
>()("paystream/domain/ports/AuditLog") {}
