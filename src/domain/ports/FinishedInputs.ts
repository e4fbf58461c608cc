/**
 * What a worker with `dedupe` needs from a database: the inputs that its group has finished.
 *
 * ## Guarantees
 * - When `record` succeeds, every input is remembered durably; one that is there already is no error.
 * - `find` sees what was recorded before it was asked, by whomever.
 * - An input is one group's own: another group that has the same id knows nothing of it.
 *
 * ## Assumptions
 * - An input that is forgotten after the time that is kept will not come again.
 * - Two that handle the same input at the same moment both find nothing: whoever hands it out twice at once is not
 *   caught here.
 */
import { Context, type Duration, type Effect } from "effect"
import type { StoreError } from "../StoreError.ts"

/** An input and who has finished it. */
export interface FinishedInput {
  /** The group's subscription: `<topic>.<group>`. */
  readonly consumer: string
  /** Well-formed text without NUL, at most 1 KiB. */
  readonly identity: string
}

export class FinishedInputs extends Context.Service<
  FinishedInputs,
  {
    /** For each, in their order, whether it was recorded. */
    readonly find: (inputs: ReadonlyArray<FinishedInput>) => Effect.Effect<ReadonlyArray<boolean>, StoreError>
    readonly record: (inputs: ReadonlyArray<FinishedInput>) => Effect.Effect<void, StoreError>
    /** Removes at most `limit` that were recorded longer ago than `age`; the number of those removed. */
    readonly forget: (age: Duration.Duration, limit: number) => Effect.Effect<number, StoreError>
    /** Makes the tables, or checks them where this process may not change them; done again, changes nothing. */
    readonly prepare: Effect.Effect<void, StoreError>
    /** Succeeds when the database answers. */
    readonly ping: Effect.Effect<void, StoreError>
  }
>()("paystream/domain/ports/FinishedInputs") {}
