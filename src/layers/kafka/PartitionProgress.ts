/**
 * How far the work on one partition has come: which records were received, which of them are finished, and up to where
 * to commit. Records are finished in any order; what is committed never passes one that is not.
 *
 * ## Assumptions
 * - Offsets rise, with gaps (compaction, markers of transactions). They fit into a number: 2^53 records.
 */

/** First and last offset, both finished. */
export type Range = readonly [first: number, last: number]

export interface PartitionProgress {
  /** Notes a record; `false` for one that was received or finished before. */
  readonly receive: (offset: number) => boolean
  /** Everything below was received: markers that are no records have offsets too. */
  readonly advance: (position: number) => void
  readonly finish: (offset: number) => void
  /** The lowest offset that is not finished: what to commit. `undefined` where nothing is known yet. */
  readonly lowestUnfinished: () => number | undefined
  /** What is finished above it, in order. */
  readonly finishedAbove: () => ReadonlyArray<Range>
  /** Received and not finished. */
  readonly unfinished: () => number
}

/** Begins at the committed offset, with what was finished above it. */
export const make = (committed: number | undefined, finishedAbove: ReadonlyArray<Range> = []): PartitionProgress => {
  let position = committed
  // In the order of their offsets, from `first` on; finished ones stay until all before them are.
  let received: Array<number> = []
  let first = 0
  const finished = new Set<number>()

  const wasFinished = (offset: number) => finishedAbove.some(([from, to]) => offset >= from && offset <= to)
  const forget = () => {
    while (first < received.length && finished.delete(received[first] ?? -1)) first++
    if (first < 1024 || first < received.length / 2) return
    received = received.slice(first)
    first = 0
  }

  return {
    receive: (offset) => {
      if (position !== undefined && offset < position) return false
      position = offset + 1
      received.push(offset)
      if (!wasFinished(offset)) return true
      finished.add(offset)
      forget()
      return false
    },
    advance: (next) => {
      position = Math.max(position ?? 0, next)
    },
    finish: (offset) => {
      finished.add(offset)
      forget()
    },
    lowestUnfinished: () => received[first] ?? position,
    finishedAbove: () => {
      const offsets = finished.size === 0 ? [] : received.slice(first).filter((offset) => finished.has(offset))
      const lowest = received[first] ?? position ?? 0
      // What is not read again yet was finished by an earlier owner, and stays so.
      const unread = finishedAbove.filter(([from]) => from >= (position ?? 0) && from > lowest)
      return [...rangesOf(offsets), ...unread]
    },
    unfinished: () => received.length - first - finished.size
  }
}

const rangesOf = (offsets: ReadonlyArray<number>): ReadonlyArray<Range> => {
  const ranges: Array<[number, number]> = []
  for (const offset of offsets) {
    const last = ranges.at(-1)
    if (last !== undefined && last[1] === offset - 1) last[1] = offset
    else ranges.push([offset, offset])
  }
  return ranges
}
