/**
 * What the replay of dead letters needs where a broker cannot remove a single one of them: a note of those put back.
 *
 * ## Guarantees
 * - When `mark` succeeds, every place is marked durably; one that is marked already stays as it was.
 * - `find` sees what was marked before it was asked, by whomever.
 *
 * ## Assumptions
 * - A place is one record for ever. One of the same number written at another time, in a topic that was made anew, is
 *   another record.
 */
import { Context, type Effect } from "effect"
import type { StoreError } from "../StoreError.ts"

/** Where a record is. */
export interface RecordPlace {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** When the broker says that it was written, in milliseconds since the epoch. */
  readonly writtenAtMillis: number
}

/** A record that was put back: by which replay, and who asked for it. The time is when it is marked. */
export interface ReplayMark extends RecordPlace {
  readonly replay: string
  readonly by: string
}

export class ReplayMarks extends Context.Service<
  ReplayMarks,
  {
    readonly mark: (marks: ReadonlyArray<ReplayMark>) => Effect.Effect<void, StoreError>
    /** For each place, in their order, whether it is marked. */
    readonly find: (places: ReadonlyArray<RecordPlace>) => Effect.Effect<ReadonlyArray<boolean>, StoreError>
    /** How many records of a partition are marked below an offset. */
    readonly count: (
      partition: Pick<RecordPlace, "topic" | "partition">,
      below: bigint
    ) => Effect.Effect<number, StoreError>
    /** Removes the marks of a partition below an offset, whose records are gone; the number of those removed. */
    readonly forget: (
      partition: Pick<RecordPlace, "topic" | "partition">,
      below: bigint
    ) => Effect.Effect<number, StoreError>
  }
>()("paystream/domain/ports/ReplayMarks") {}
