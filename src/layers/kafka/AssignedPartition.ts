/** One partition as long as it is ours: what was read of it, what of that waits, and what to commit. */
import type { KafkaMessage } from "kafkajs"
import type { MessageContent } from "../../domain/ports/Broker.ts"
import * as CommitNote from "./CommitNote.ts"
import { fromRecord } from "./KafkaMessage.ts"
import * as PartitionProgress from "./PartitionProgress.ts"

/** A record that was read and is not finished. */
export interface ReadRecord {
  readonly partition: AssignedPartition
  readonly offset: number
  readonly content: MessageContent
  /** Of one that waits for its time. */
  readonly dueMillis: number | undefined
  /** What the next delivery says. */
  attempt: number
}

export interface Commit {
  readonly topic: string
  readonly partition: number
  readonly offset: string
  readonly metadata: string
}

export interface AssignedPartition {
  readonly topic: string
  readonly partition: number
  readonly owner: string
  /** Some other consumer's by now: nothing of it counts any more. */
  readonly isRevoked: () => boolean
  readonly revoke: () => void
  /** Notes what was read; gives what is new. */
  readonly read: (records: ReadonlyArray<KafkaMessage>, nextOffset: number) => ReadonlyArray<ReadRecord>
  readonly finish: (offset: number) => void
  readonly unfinished: () => number
  /** What to commit, unless it is committed already. */
  readonly commit: (state: CommitNote.CommitNote["state"]) => Commit | undefined
  /** The commit has succeeded. */
  readonly committed: (commit: Commit) => void
}

export interface PartitionOptions {
  readonly topic: string
  readonly partition: number
  /** This consumer. */
  readonly owner: string
  readonly offset: number | undefined
  readonly note: CommitNote.CommitNote | undefined
  /** So many of the first records may have been in the hands of somebody who is gone, if they were due by then. */
  readonly suspects: number
  readonly nowMillis: number
}

/** Goes on where the group has committed. */
export const make = (options: PartitionOptions): AssignedPartition => {
  const { nowMillis, owner, partition, topic } = options
  const progress = PartitionProgress.make(options.offset, options.note?.finishedAbove)
  let suspects = options.suspects
  let isRevoked = false
  let last: Commit | undefined

  const attemptOf = (dueMillis: number | undefined): number => {
    if (suspects === 0 || (dueMillis !== undefined && dueMillis > nowMillis)) return 1
    suspects--
    return 2
  }
  const toRead = (record: KafkaMessage): ReadRecord => {
    const { due: dueMillis, ...content } = fromRecord({ topic, partition }, record)
    return { partition: self, offset: Number(record.offset), content, dueMillis, attempt: attemptOf(dueMillis) }
  }
  const self: AssignedPartition = {
    topic,
    partition,
    owner,
    isRevoked: () => isRevoked,
    revoke: () => {
      isRevoked = true
    },
    read: (records, nextOffset) => {
      const fresh = records.filter(({ offset }) => progress.receive(Number(offset))).map(toRead)
      progress.advance(nextOffset)
      return fresh
    },
    finish: progress.finish,
    unfinished: progress.unfinished,
    commit: (state) => {
      const offset = progress.lowestUnfinished()
      if (offset === undefined) return undefined
      const metadata = CommitNote.encode({ owner, state, finishedAbove: progress.finishedAbove() }, offset)
      const isKnown = last?.metadata === metadata && last.offset === String(offset)
      return isKnown ? undefined : { topic, partition, offset: String(offset), metadata }
    },
    committed: (commit) => {
      last = commit
    }
  }
  return self
}
