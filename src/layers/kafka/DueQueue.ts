/** What waits for a time, the earliest first; those of one time in the order in which they came. */

export interface DueQueue<A> {
  readonly add: (dueMillis: number, value: A) => void
  /** The first one that is due, taken out. */
  readonly take: (nowMillis: number) => A | undefined
  readonly remove: (isGone: (value: A) => boolean) => void
}

export const make = <A>(): DueQueue<A> => {
  // The last one is the next: taking from the end moves nothing.
  let entries: Array<{ readonly dueMillis: number; readonly value: A }> = []

  const placeOf = (dueMillis: number): number => {
    let [low, high] = [0, entries.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((entries[middle]?.dueMillis ?? 0) > dueMillis) low = middle + 1
      else high = middle
    }
    return low
  }

  return {
    add: (dueMillis, value) => {
      entries.splice(placeOf(dueMillis), 0, { dueMillis, value })
    },
    take: (nowMillis) => {
      const next = entries.at(-1)
      if (next === undefined || next.dueMillis > nowMillis) return undefined
      entries.pop()
      return next.value
    },
    remove: (isGone) => {
      entries = entries.filter(({ value }) => !isGone(value))
    }
  }
}
