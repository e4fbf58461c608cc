/**
 * A member of a consumer group by kafkajs: joins, reads, commits, leaves. What is read goes to the records in hand.
 *
 * A rebalance first waits, for a moment, until what is delivered is settled and committed: the next owner of a partition
 * then repeats nothing, and overtakes nothing. What takes longer goes on; if its partition stays here, it counts, and
 * else it is dropped.
 */
import type { Cluster, Consumer, EachBatchPayload } from "kafkajs"
import type { AssignedPartition } from "./AssignedPartition.ts"
import { type KafkaClient, retry } from "./KafkaClient.ts"
import { consumerWithCluster } from "./KafkaGroup.ts"
import * as Ownership from "./Ownership.ts"
import type { RecordsInHand } from "./RecordsInHand.ts"

export interface MemberOptions extends Ownership.OwnershipOptions {
  /** The topic, and the one of its retries where there is one. */
  readonly topics: ReadonlyArray<string>
  readonly maxBytes: number
  readonly sessionTimeoutMillis: number
  /** The member is no more. */
  readonly onEnd: (cause: unknown) => void
  readonly onAssigned: (assignment: Ownership.Assignment) => void
}

export interface GroupMember {
  readonly start: () => Promise<void>
  /** Commits what is finished, and takes over what was assigned since. */
  readonly commit: () => Promise<void>
  /** When the broker last answered. */
  readonly lastSignMillis: () => number
  /** Gives back what is unsettled, commits the rest and leaves the group. */
  readonly stop: () => Promise<void>
}

/** A member that does not come to a rebalance in this time is left out. */
export const rebalanceTimeoutMillis = 60_000
/** Of that, what is under way may take so much; and no more of the session, in which no heartbeat is sent meanwhile. */
const longestReleaseMillis = 10_000
/**
 * A stop waits for a join that is under way: the others' next heartbeats, and part of what they may take to release.
 * Only who has been let in can leave: the group would wait for anybody else until the session is over.
 */
const longestJoinMillis = 8_000
/** Heartbeats and commits wait behind a fetch on the same connection. */
const fetchWaitMillis = 250
const mostBytesPerPartition = 1024 * 1024
/** Batches that wait for room, one for each partition. */
const mostPartitionsAtATime = 512
/** Retries that are read and wait for their time, of one partition; of all of them, `maxBytes`. */
const mostHeld = 10_000

/** A Promise, and no Effect: its callers are callbacks of kafkajs, which waits for Promises. */
const delay = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

const configOf = ({ groupId, maxBytes, sessionTimeoutMillis }: MemberOptions) => ({
  groupId,
  sessionTimeout: sessionTimeoutMillis,
  rebalanceTimeout: rebalanceTimeoutMillis,
  heartbeatInterval: Math.min(3_000, Math.floor(sessionTimeoutMillis / 5)),
  maxWaitTimeInMs: fetchWaitMillis,
  maxBytesPerPartition: Math.min(mostBytesPerPartition, maxBytes),
  maxBytes: Math.min(10 * mostBytesPerPartition, maxBytes),
  allowAutoTopicCreation: false,
  // Another try is for supervision to make.
  retry: { ...retry, restartOnFailure: async () => false }
})

/** A member that has not joined yet. */
export const make = (client: KafkaClient, records: RecordsInHand, options: MemberOptions): GroupMember => {
  const { consumer, cluster } = consumerWithCluster(client.kafka, configOf(options))
  const ownership = Ownership.make(consumer, cluster, records, options)
  const holds = holdingAtLeast(records, options)
  const releaseMillis = Math.min(longestReleaseMillis, options.sessionTimeoutMillis / 2)
  let [releasing, joining]: [Promise<void>, Promise<void>] = [Promise.resolve(), Promise.resolve()]
  let [isStarted, isRejoining, isStopping] = [false, false, false]
  let lastSign = options.now()
  const ending = endingOnce(options.onEnd)

  const eachBatch = async ({ batch, heartbeat, isRunning }: EachBatchPayload): Promise<void> => {
    await ownership.ready()
    const partition = records.find(batch.topic, batch.partition)
    if (partition === undefined) return
    records.read(partition, batch.messages, Number(batch.lastOffset()) + 1)
    records.pump()
    if (holds(1, partition)) consumer.pause(placeOf(partition))
    while (records.isFull() && isRunning() && !isStopping) {
      await settledOr(records, 500)
      await heartbeat()
    }
  }

  // A commit that kafkajs tries again after it has joined would be one for partitions that are others' by then.
  joinAfter(cluster, () => releasing.then(ownership.committed))
  listen(consumer, {
    assigned: (assignment) => {
      isRejoining = false
      ownership.assigned(assignment)
      options.onAssigned(assignment)
    },
    rebalancing: () => {
      const deadline = options.now() + releaseMillis
      isRejoining = true
      releasing = release(ownership, records, () => !isStopping && options.now() < deadline)
    },
    sign: () => {
      lastSign = options.now()
    },
    ended: (cause) => {
      if (!isStopping) ending.end(cause)
    }
  })

  return {
    start: async () => {
      await consumer.connect()
      await consumer.subscribe({ topics: [...options.topics], fromBeginning: true })
      joining = consumer.run({ autoCommit: false, partitionsConsumedConcurrently: mostPartitionsAtATime, eachBatch })
      await joining
      ending.throwIfOver()
      isStarted = true
    },
    commit: async () => {
      if (!isStarted || isStopping || isRejoining) return
      await ownership.ready()
      for (const partition of records.all()) if (!holds(0.5, partition)) resume(consumer, partition)
      await ownership.commit("held")
    },
    lastSignMillis: () => lastSign,
    stop: async () => {
      isStopping = true
      records.setPaused(true)
      if (!isStarted) await settledWithin(joining, longestJoinMillis)
      if (isStarted) await ownership.commit("released").catch(() => undefined)
      for (const partition of records.all()) records.revoke(partition)
      await consumer.disconnect()
    }
  }
}

/** kafkajs calls it a start, too, where the broker went away before the member was let in. */
const endingOnce = (onEnd: MemberOptions["onEnd"]) => {
  let over: { readonly cause: unknown } | undefined
  return {
    end: (cause: unknown): void => {
      if (over !== undefined) return
      over = { cause }
      onEnd(cause)
    },
    throwIfOver: (): void => {
      if (over !== undefined) throw over.cause
    }
  }
}

/** It has ended, however, or so much time is over. */
const settledWithin = (promise: Promise<void>, millis: number): Promise<void> =>
  Promise.race([promise.catch(() => undefined), delay(millis)])

/** Something was settled, or so much time is over. */
const settledOr = (records: RecordsInHand, millis: number): Promise<void> =>
  Promise.race([new Promise<void>((resolve) => records.onSettled(resolve)), delay(millis)])

/** Waits as long as it may for what is delivered, and commits what is finished. */
const release = async (ownership: Ownership.Ownership, records: RecordsInHand, mayWait: () => boolean) => {
  records.setPaused(true)
  while (records.deliveredCount() > 0 && mayWait()) await settledOr(records, 100)
  await ownership.commit("released").catch(() => undefined)
}

/** kafkajs finds the coordinator before it joins again, and offers no other moment to wait at. */
const joinAfter = (cluster: Cluster, ready: () => Promise<void>): void => {
  const find = cluster.findGroupCoordinator.bind(cluster)
  cluster.findGroupCoordinator = async (group) => {
    await ready()
    return find(group)
  }
}

interface Listeners {
  readonly assigned: (assignment: Ownership.Assignment) => void
  readonly rebalancing: () => void
  readonly sign: () => void
  readonly ended: (cause: unknown) => void
}

const listen = (consumer: Consumer, on: Listeners): void => {
  const { CRASH, FETCH, GROUP_JOIN, HEARTBEAT, REBALANCING, STOP } = consumer.events
  consumer.on(GROUP_JOIN, ({ payload }) => {
    on.sign()
    on.assigned(new Map(Object.entries(payload.memberAssignment)))
  })
  consumer.on(REBALANCING, on.rebalancing)
  for (const event of [FETCH, HEARTBEAT] as const) consumer.on(event, on.sign)
  consumer.on(CRASH, ({ payload }) => on.ended(payload.error))
  // One that crashes is stopped first, and says why only then.
  consumer.on(STOP, () => delay(1_000).then(() => on.ended(new Error("the consumer has stopped"))))
}

// A partition of retries that has enough in hand is not read on: what waits there waits in memory.

const holdingAtLeast =
  (records: RecordsInHand, { maxBytes, topics }: MemberOptions) =>
  (share: number, partition: AssignedPartition): boolean =>
    partition.unfinished() >= share * mostHeld ||
    (partition.topic !== topics[0] && records.dueBytes() >= share * maxBytes)

const placeOf = ({ partition, topic }: AssignedPartition) => [{ topic, partitions: [partition] }]

const resume = (consumer: Consumer, partition: AssignedPartition): void => {
  const isPaused = consumer
    .paused()
    .some(({ partitions, topic }) => topic === partition.topic && partitions.includes(partition.partition))
  if (isPaused) consumer.resume(placeOf(partition))
}
