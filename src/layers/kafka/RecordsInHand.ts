/**
 * The records of one consumer between Kafka and the worker: read, waiting, delivered, finished. Knows nothing of a
 * network: it is told what was assigned and read, hands out deliveries, and says what to commit.
 *
 * ## Guarantees
 * - At most `prefetch` deliveries, and a little more than `maxBytes`, are unsettled at any time.
 * - A commit never passes a record that is not finished.
 * - Nothing of a partition that was revoked is delivered, and settling it does nothing.
 */
import type { KafkaMessage } from "kafkajs"
import type { Delivery, Settlement } from "../../domain/ports/Broker.ts"
import type { AssignedPartition, Commit, ReadRecord } from "./AssignedPartition.ts"
import type { CommitNote } from "./CommitNote.ts"
import * as WaitingRecords from "./WaitingRecords.ts"

export interface InHandOptions {
  readonly prefetch: number
  readonly maxBytes: number
  readonly now: () => number
  readonly deliver: (deliveries: ReadonlyArray<Delivery>) => void
}

/** What a delivery of this layer carries as its receipt. */
export interface Receipt {
  readonly records: RecordsInHand
  readonly record: ReadRecord
  readonly deliveredAtMillis: number
}

export interface RecordsInHand {
  readonly find: (topic: string, partition: number) => AssignedPartition | undefined
  readonly all: () => ReadonlyArray<AssignedPartition>
  /** Takes a partition over; one of the same name is given up. */
  readonly assign: (partition: AssignedPartition) => void
  readonly revoke: (partition: AssignedPartition) => void
  readonly read: (partition: AssignedPartition, messages: ReadonlyArray<KafkaMessage>, nextOffset: number) => void
  /** Delivers what may be delivered now; nothing while paused. */
  readonly pump: () => void
  readonly setPaused: (isPaused: boolean) => void
  readonly settle: (settlements: ReadonlyArray<Settlement>) => void
  readonly commits: (state: CommitNote["state"]) => ReadonlyArray<Commit>
  readonly committed: (commits: ReadonlyArray<Commit>) => void
  readonly deliveredCount: () => number
  /** Since when the one that was delivered first of those in hand is. */
  readonly oldestMillis: () => number | undefined
  /** Enough is read: more would only fill the memory. */
  readonly isFull: () => boolean
  /** Of what waits for its time, in bytes: it takes memory for as long as that. */
  readonly dueBytes: () => number
  /** Called once, when something was settled. */
  readonly onSettled: (listener: () => void) => void
}

/** Enough that reading the next ones goes on while these are worked on. */
const leastReadAhead = 1_000

const nameOf = (topic: string, partition: number) => `${topic}/${partition}`

/** What is delivered and not settled. */
const deliveries = () => {
  const receipts = new Set<Receipt>()
  let bytes = 0
  const leave = (receipt: Receipt): boolean => {
    if (!receipts.delete(receipt)) return false
    bytes -= WaitingRecords.bytesOf(receipt.record)
    return true
  }
  return {
    enter: (receipt: Receipt): Delivery => {
      const { record } = receipt
      receipts.add(receipt)
      bytes += WaitingRecords.bytesOf(record)
      return { ...record.content, attempt: record.attempt++, receipt, isRevoked: record.partition.isRevoked }
    },
    leave,
    drop: (partition: AssignedPartition): void => {
      for (const receipt of receipts) if (receipt.record.partition === partition) leave(receipt)
    },
    count: () => receipts.size,
    bytes: () => bytes,
    oldest: (): Receipt | undefined => receipts.values().next().value
  }
}

/** Listeners that are told once each. */
const listenersOnce = () => {
  let listeners: Array<() => void> = []
  return {
    add: (listener: () => void): void => {
      listeners.push(listener)
    },
    tell: (): void => {
      const told = listeners
      listeners = []
      for (const tell of told) tell()
    }
  }
}

/** Nothing is assigned yet. */
export const make = (options: InHandOptions): RecordsInHand => {
  const { maxBytes, now, prefetch } = options
  const partitions = new Map<string, AssignedPartition>()
  const waiting = WaitingRecords.make()
  const delivered = deliveries()
  const settled = listenersOnce()
  let isPaused = false

  const revoke = (partition: AssignedPartition): void => {
    partition.revoke()
    const name = nameOf(partition.topic, partition.partition)
    if (partitions.get(name) === partition) partitions.delete(name)
    waiting.drop(partition)
    delivered.drop(partition)
  }
  const settleOne = ({ delivery, outcome }: Settlement): void => {
    const receipt = delivery.receipt as Receipt
    const { record } = receipt
    if (!delivered.leave(receipt)) return
    if (outcome === "return") waiting.giveBack(record)
    // The broker has no policy for what is refused: who refuses it has published it elsewhere.
    else record.partition.finish(record.offset)
  }

  const self: RecordsInHand = {
    find: (topic, partition) => partitions.get(nameOf(topic, partition)),
    all: () => [...partitions.values()],
    assign: (partition) => {
      const before = self.find(partition.topic, partition.partition)
      if (before !== undefined) revoke(before)
      partitions.set(nameOf(partition.topic, partition.partition), partition)
    },
    revoke,
    read: (partition, messages, nextOffset) => partition.read(messages, nextOffset).forEach(waiting.add),
    pump: () => {
      const nowMillis = now()
      const deliveries: Array<Delivery> = []
      while (!isPaused && delivered.count() < prefetch && delivered.bytes() < maxBytes) {
        const record = waiting.next(nowMillis)
        if (record === undefined) break
        deliveries.push(delivered.enter({ records: self, record, deliveredAtMillis: nowMillis }))
      }
      if (deliveries.length > 0) options.deliver(deliveries)
    },
    setPaused: (paused) => {
      isPaused = paused
    },
    settle: (settlements) => {
      settlements.forEach(settleOne)
      self.pump()
      settled.tell()
    },
    commits: (state) => self.all().flatMap((partition) => partition.commit(state) ?? []),
    committed: (commits) => {
      for (const commit of commits) self.find(commit.topic, commit.partition)?.committed(commit)
    },
    deliveredCount: delivered.count,
    oldestMillis: () => delivered.oldest()?.deliveredAtMillis,
    isFull: () => {
      const { bytes, count } = waiting.size()
      return count >= Math.max(prefetch, leastReadAhead) || bytes >= maxBytes
    },
    dueBytes: waiting.dueBytes,
    onSettled: settled.add
  }
  return self
}
