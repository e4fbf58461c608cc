/**
 * The note beside a committed offset: who works on the partition, whether it let go of it in order, and what it has
 * finished above the offset. Kafka keeps such a text with every commit.
 */
import type { Range } from "./PartitionProgress.ts"

export interface CommitNote {
  /** A consumer, for as long as it lives. */
  readonly owner: string
  /** `held`: records may be in its hands. `released`: none are. */
  readonly state: "held" | "released"
  readonly finishedAbove: ReadonlyArray<Range>
}

const form = /^paystream1 (held|released) (\S+) (\S*)$/

/** Kafka takes 4096 bytes (`offset.metadata.max.bytes`). */
const longestNote = 4000

/** The note as text. Ranges that do not fit are left out, the highest first: their records are delivered again. */
export const encode = (note: CommitNote, committed: number): string => {
  let text = `paystream1 ${note.state} ${note.owner} `
  let from = committed
  for (const [first, last] of note.finishedAbove) {
    const range = `${(first - from).toString(36)}.${(last - first).toString(36)},`
    if (text.length + range.length > longestNote) break
    text += range
    from = last
  }
  return text
}

/** The note in a text; `undefined` where another program has committed. */
export const decode = (text: string | null | undefined, committed: number): CommitNote | undefined => {
  const [, state, owner, ranges] = form.exec(text ?? "") ?? []
  if (state === undefined || owner === undefined || ranges === undefined) return undefined
  let from = committed
  const finishedAbove = ranges
    .split(",")
    .filter(String)
    .map((range): Range => {
      const [gap = "", length = ""] = range.split(".")
      const first = from + Number.parseInt(gap, 36)
      from = first + Number.parseInt(length, 36)
      return [first, from]
    })
  return { owner, state: state === "held" ? "held" : "released", finishedAbove }
}
