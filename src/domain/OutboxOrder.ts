/** What may be published now, and what waits for something earlier of its key. */

/** What decides over an event that has failed, or waits behind one that has. */
export interface Waiting {
  /** Failed attempts; 0 for one that waits behind another, or was brought back. */
  readonly attempts: number
  /** Until its next attempt is due. */
  readonly waitMillis: number
  /** Whether an operator let its key go on without it. */
  readonly isSkipped: boolean
}

export interface OrderRules {
  /** So many failed attempts make an event dead. */
  readonly maxAttempts: number
  /** What a dead event does to later ones of its key: `hold` them back, or let its key `skip` it. */
  readonly dead: "hold" | "skip"
}

/** Attempts alone decide. */
export const isDead = ({ attempts }: { readonly attempts: number }, { maxAttempts }: OrderRules): boolean =>
  attempts >= maxAttempts

/** Whether later events of its key go on as if it were not there. */
export const isPassedOver = (event: Waiting, rules: OrderRules): boolean =>
  isDead(event, rules) && (event.isSkipped || rules.dead === "skip")

const isDue = ({ attempts, waitMillis }: Waiting, rules: OrderRules): boolean =>
  attempts === 0 || (attempts < rules.maxAttempts && waitMillis <= 0)

/**
 * Those of a key's events, given in their order, that may be published one after the other: up to the first that is
 * dead or not yet due.
 */
export const publishable = <E extends Waiting>(events: ReadonlyArray<E>, rules: OrderRules): ReadonlyArray<E> => {
  const counting = events.filter((event) => !isPassedOver(event, rules))
  const holding = counting.findIndex((event) => !isDue(event, rules))
  return holding === -1 ? counting : counting.slice(0, holding)
}

/**
 * Events in waves: a lane's events are in successive waves in their order, or in the same one where they go `together`
 * with the one before. So a wave can be published as one while nothing overtakes anything.
 */
export const waves = <E>(
  events: ReadonlyArray<E>,
  laneOf: (event: E) => string,
  together: (before: E, event: E) => boolean
): ReadonlyArray<ReadonlyArray<E>> => {
  const last = new Map<string, { readonly event: E; readonly depth: number }>()
  const found: Array<Array<E>> = []
  for (const event of events) {
    const lane = laneOf(event)
    const before = last.get(lane)
    const depth = before === undefined ? 0 : before.depth + (together(before.event, event) ? 0 : 1)
    last.set(lane, { event, depth })
    const wave = found[depth]
    if (wave === undefined) found.push([event])
    else wave.push(event)
  }
  return found
}
