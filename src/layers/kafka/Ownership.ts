/**
 * Which partitions are ours: taken over with what the group has committed, marked as held before the first delivery,
 * and marked as released when we let go of them in order.
 */
import type { Cluster, Consumer } from "kafkajs"
import * as AssignedPartition from "./AssignedPartition.ts"
import * as CommitNote from "./CommitNote.ts"
import { committedOf } from "./KafkaGroup.ts"
import type { RecordsInHand } from "./RecordsInHand.ts"

export type Assignment = ReadonlyMap<string, ReadonlyArray<number>>

export interface OwnershipOptions {
  readonly groupId: string
  /** This process, and this consumer in it: `process:consumer`. How an owner is known that comes back. */
  readonly owner: string
  readonly prefetch: number
  readonly now: () => number
}

export interface Ownership {
  /** The group has a new assignment: what is not in it is given up, and nothing is delivered until `ready`. */
  readonly assigned: (assignment: Assignment) => void
  /** What was assigned is taken over. */
  readonly ready: () => Promise<void>
  readonly commit: (state: CommitNote.CommitNote["state"]) => Promise<void>
  /** No commit is under way. */
  readonly committed: () => Promise<void>
}

/** Nothing is ours yet. */
export const make = (
  consumer: Consumer,
  cluster: Cluster,
  records: RecordsInHand,
  options: OwnershipOptions
): Ownership => {
  let assignment: Assignment = new Map()
  let takenOver: Promise<void> | undefined
  let committing: Promise<void> = Promise.resolve()

  const commitNow = async (state: CommitNote.CommitNote["state"]): Promise<void> => {
    const commits = records.commits(state)
    if (commits.length === 0) return
    await consumer.commitOffsets([...commits])
    records.committed(commits)
  }
  // One after the other: an older one that comes late would take back a newer one.
  const commit = (state: CommitNote.CommitNote["state"]): Promise<void> => {
    const next = committing.then(() => commitNow(state))
    committing = next.catch(() => undefined)
    return next
  }
  const takeOver = async (wanted: Assignment): Promise<void> => {
    for (const [topic, partitions] of wanted) {
      const committed = await committedOf(cluster, options.groupId, topic, partitions)
      if (wanted !== assignment) return
      for (const one of committed) adopt(records, options, { topic, ...one })
    }
    // Before the first delivery: whoever comes after our sudden death has to know that we had some.
    await commit("held")
    if (wanted !== assignment) return
    records.setPaused(false)
    records.pump()
  }

  return {
    assigned: (next) => {
      assignment = next
      takenOver = undefined
      records.setPaused(true)
      for (const one of records.all()) {
        if (!assignment.get(one.topic)?.includes(one.partition)) records.revoke(one)
      }
    },
    ready: () => {
      const wanted = assignment
      takenOver ??= takeOver(wanted).catch((cause) => {
        if (wanted === assignment) takenOver = undefined
        throw cause
      })
      return takenOver
    },
    commit,
    committed: () => committing
  }
}

interface FoundPartition {
  readonly topic: string
  readonly partition: number
  readonly offset: number | undefined
  readonly note: string | null
}

/** Goes on with what is in hand of a partition that nobody else had meanwhile; begins anew with any other. */
const adopt = (records: RecordsInHand, { now, owner, prefetch }: OwnershipOptions, found: FoundPartition): void => {
  const { offset, partition, topic } = found
  const note = offset === undefined ? undefined : CommitNote.decode(found.note, offset)
  if (note?.owner === owner && records.find(topic, partition) !== undefined) return
  // Another consumer of this process that is gone has not died of a message: the process lives.
  const isSuspect = note?.state === "held" && processOf(note.owner) !== processOf(owner)
  const suspects = isSuspect ? prefetch : 0
  records.assign(AssignedPartition.make({ topic, partition, offset, note, owner, suspects, nowMillis: now() }))
}

const processOf = (owner: string): string | undefined => owner.split(":")[0]
