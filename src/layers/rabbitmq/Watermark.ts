/** Which acknowledgement a settled delivery asks for: one for all that is below the lowest unsettled, else its own. */

/** `upTo` acknowledges everything not yet settled up to and with that tag; `single` are acknowledged one by one. */
export interface Acknowledgement {
  readonly upTo: number | undefined
  readonly single: ReadonlyArray<number>
}

/** Delivery tags of one channel count from 1, without a gap. */
export const make = () => {
  let lowestUnsettled = 1
  const settledAbove = new Set<number>()

  const settle = (tag: number) => {
    settledAbove.add(tag)
    while (settledAbove.delete(lowestUnsettled)) lowestUnsettled++
  }

  return {
    /** Marks tags that were settled otherwise (returned, rejected). */
    skip: (tags: ReadonlyArray<number>): void => tags.forEach(settle),
    /** Marks tags as done and says how to acknowledge them; an `upTo` never passes a tag that is not settled. */
    acknowledge: (tags: ReadonlyArray<number>): Acknowledgement => {
      tags.forEach(settle)
      const below = tags.filter((tag) => tag < lowestUnsettled)
      return {
        upTo: below.length === 0 ? undefined : Math.max(...below),
        single: tags.filter((tag) => tag >= lowestUnsettled)
      }
    }
  }
}

export type Watermark = ReturnType<typeof make>
