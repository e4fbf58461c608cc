/**
 * Where, in each slot, the rows begin that may still be unpublished: what an index keeps of published rows need not be
 * walked over, not even while an old snapshot keeps vacuum from removing it.
 *
 * A floor is no position that was reached, but a bound that is proved: every number up to it was given out to a
 * transaction that has ended, and no row up to it was left. Whoever may write to the table holds a lock on it from before
 * it takes a number until its end. Should all of this be wrong (a sequence that was set back), it costs some seconds: now
 * and then everything is looked at.
 */
import { Clock, Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { TakeOptions } from "../../domain/ports/Outbox.ts"
import type { Run } from "./OutboxStatements.ts"

/** How often everything is looked at, in milliseconds. */
const lookAtAllEvery = 15_000

interface SlotRow {
  readonly slot: number
  readonly sequence: bigint
}

/** The floors of one process. */
export const make = (sql: SqlClient.SqlClient, run: Run) => {
  const floors = new Map<number, bigint>()
  let decided = 0n
  let undecided: { readonly upTo: bigint; readonly holders: ReadonlySet<string> } | undefined
  let lookedAtAllAt = 0

  const lastNumber = Effect.map(
    run(sql<{ last: bigint | null }>`
      SELECT pg_sequence_last_value(pg_get_serial_sequence('outbox_events', 'sequence')::regclass) AS last`),
    ([row]) => BigInt(row?.last ?? 0)
  )
  const writers = Effect.map(
    run(sql<{ id: string }>`
      SELECT DISTINCT virtualtransaction AS id FROM pg_locks
      WHERE locktype = 'relation' AND relation = 'outbox_events'::regclass AND mode = 'RowExclusiveLock'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`),
    (rows) => new Set(rows.map(({ id }) => id))
  )

  /** Learns which numbers are decided; to be called about once a second. */
  const probe = Effect.gen(function* () {
    // The number first: who took one before that is among the writers, or has ended.
    const upTo = yield* lastNumber
    const holders = yield* writers
    if (undecided?.holders.isDisjointFrom(holders)) {
      decided = undecided.upTo
      undecided = undefined
    }
    undecided ??= { upTo, holders }
  })

  return {
    probe,
    /** From where to look in a slot, and what to note afterwards. */
    begin: ({ limit, slots }: TakeOptions) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const all = now >= lookedAtAllAt + lookAtAllEvery
        if (all) lookedAtAllAt = now
        // As it was before the rows are read: what is decided only then may not be among them.
        const bound = decided
        const note = (rows: ReadonlyArray<SlotRow>): void => {
          const first = new Map<number, bigint>()
          for (const { sequence, slot } of rows) if (!first.has(slot)) first.set(slot, sequence)
          for (const slot of slots) {
            const found = first.get(slot)
            if (found === undefined && rows.length >= limit) continue
            floors.set(slot, found === undefined || found > bound ? bound : found - 1n)
          }
        }
        return { from: slots.map((slot) => (all ? 0n : (floors.get(slot) ?? 0n))), note }
      }),
    of: (slot: number): bigint => floors.get(slot) ?? 0n
  }
}

export type Floors = ReturnType<typeof make>
