/**
 * Marks on messages that are suspected of killing the process: made before one is handled, removed when it has ended.
 *
 * ## Guarantees
 * - When `begin` succeeds, the mark is durable: whatever the process dies of, the next one finds it.
 * - A mark is one consumer's own, and blocks nobody: it only counts.
 *
 * ## Assumptions
 * - Whoever begins a message that has a mark is alone with it in the process: another mark is that message's doing.
 */
import { Context, type Duration, type Effect } from "effect"
import type { StoreError } from "../StoreError.ts"

/** A message that came again, and whose it is. */
export interface Suspect {
  /** The group's subscription: `<topic>.<group>`. */
  readonly consumer: string
  /** Well-formed text without NUL, at most 1 KiB. */
  readonly identity: string
}

export class CrashMarks extends Context.Service<
  CrashMarks,
  {
    /** How often the suspect was begun and not ended. */
    readonly begun: (suspect: Suspect) => Effect.Effect<number, StoreError>
    /** Marks the suspect as begun; gives how often it was begun before and not ended. */
    readonly begin: (suspect: Suspect) => Effect.Effect<number, StoreError>
    /** Removes the mark and its count, if there is one. */
    readonly end: (suspect: Suspect) => Effect.Effect<void, StoreError>
    /** Removes at most `limit` marks on which nothing was begun for `age`; the number of those removed. */
    readonly forget: (age: Duration.Duration, limit: number) => Effect.Effect<number, StoreError>
    /** Makes the tables, or checks them where this process may not change them; done again, changes nothing. */
    readonly prepare: Effect.Effect<void, StoreError>
  }
>()("paystream/domain/ports/CrashMarks") {}
