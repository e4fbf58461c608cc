/** How relays that run side by side share the slots. */

/** What a relay knows of the slots. */
export interface Roster {
  /** Relays that live, this one included. */
  readonly relays: number
  readonly owned: ReadonlyArray<number>
  /** Nobody's: never taken, given up, or a dead relay's. */
  readonly free: ReadonlyArray<number>
}

/** What a relay does about it. */
export interface ShareChange {
  readonly acquire: ReadonlyArray<number>
  readonly release: ReadonlyArray<number>
}

/**
 * An equal share, rounded up: with all slots taken nobody has more, and nobody who has it gives any away. Of what is
 * too much, only slots with nothing under way are given up.
 */
export const change = (
  { free, owned, relays }: Roster,
  options: { readonly slots: number; readonly isBusy: (slot: number) => boolean }
): ShareChange => {
  const share = Math.ceil(options.slots / Math.max(1, relays))
  const surplus = owned.length - share
  return {
    acquire: surplus < 0 ? free.slice(0, -surplus) : [],
    release: surplus > 0 ? owned.filter((slot) => !options.isBusy(slot)).slice(0, surplus) : []
  }
}
