/** Records that were read and are not delivered: in the order of their partition, or until their time has come. */
import type { AssignedPartition, ReadRecord } from "./AssignedPartition.ts"
import * as DueQueue from "./DueQueue.ts"

export interface WaitingRecords {
  readonly add: (record: ReadRecord) => void
  /** Back to its place. */
  readonly giveBack: (record: ReadRecord) => void
  /** The next to deliver, taken out: one whose time has come, else one of each partition in turn. */
  readonly next: (nowMillis: number) => ReadRecord | undefined
  readonly drop: (partition: AssignedPartition) => void
  /** Those that wait for no time. */
  readonly size: () => { readonly count: number; readonly bytes: number }
  /** Of those that wait for a time. */
  readonly dueBytes: () => number
}

/** The size of the body, in bytes. */
export const bytesOf = ({ content }: ReadRecord): number => content.body.length

/** None yet. */
export const make = (): WaitingRecords => {
  const due = DueQueue.make<ReadRecord>()
  // Whose turn it is stands first: one with much to do does not keep the others waiting.
  const queues = new Map<AssignedPartition, Array<ReadRecord>>()
  let [count, bytes, dueBytes] = [0, 0, 0]

  const weigh = (record: ReadRecord, sign: 1 | -1): void => {
    count += sign
    bytes += sign * bytesOf(record)
  }
  const queueOf = (partition: AssignedPartition): Array<ReadRecord> => {
    const queue = queues.get(partition) ?? []
    if (queue.length === 0) queues.set(partition, queue)
    return queue
  }
  const put = (record: ReadRecord, placeIn: (queue: ReadonlyArray<ReadRecord>) => number): void => {
    if (record.dueMillis !== undefined) {
      due.add(record.dueMillis, record)
      dueBytes += bytesOf(record)
      return
    }
    const queue = queueOf(record.partition)
    queue.splice(placeIn(queue), 0, record)
    weigh(record, 1)
  }
  const nextDue = (nowMillis: number): ReadRecord | undefined => {
    const record = due.take(nowMillis)
    if (record !== undefined) dueBytes -= bytesOf(record)
    return record
  }
  const nextInTurn = (): ReadRecord | undefined => {
    for (const [partition, queue] of queues) {
      queues.delete(partition)
      const record = queue.shift()
      if (record === undefined) continue
      if (queue.length > 0) queues.set(partition, queue)
      weigh(record, -1)
      return record
    }
    return undefined
  }

  return {
    add: (record) => put(record, ({ length }) => length),
    giveBack: (record) =>
      put(record, (queue) => {
        const place = queue.findIndex(({ offset }) => offset > record.offset)
        return place === -1 ? queue.length : place
      }),
    next: (nowMillis) => nextDue(nowMillis) ?? nextInTurn(),
    drop: (partition) => {
      for (const record of queues.get(partition) ?? []) weigh(record, -1)
      queues.delete(partition)
      due.remove((record) => {
        const isGone = record.partition === partition
        if (isGone) dueBytes -= bytesOf(record)
        return isGone
      })
    },
    size: () => ({ count, bytes }),
    dueBytes: () => dueBytes
  }
}
