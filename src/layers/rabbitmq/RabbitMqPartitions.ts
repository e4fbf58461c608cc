/**
 * Ordered groups: the group's queue is emptied by one consumer of all processes, the distributor, into one queue per
 * partition of the keys, each of which has one consumer at a time too (`x-single-active-consumer`).
 *
 * ## Guarantees
 * - A key's messages are in one queue in the order in which they were in the group's, whatever fails: of a key, none is
 *   published before the one before it is confirmed, and none is acknowledged before all of its batch are.
 * - A distributor that dies leaves repeats behind: what it had in hand is distributed again, from the first on.
 *
 * ## Assumptions
 * - Nobody else declares queues named `<topic>.<group>.<number>`.
 */
import type { ChannelModel } from "amqplib"
import { Array as Arr, Effect, Predicate, Schedule, Stream } from "effect"
import { partitionOf } from "../../domain/Partition.ts"
import {
  BrokerError,
  BrokerRefused,
  contentOf,
  type Delivery,
  type Ordered,
  type Settlement
} from "../../domain/ports/Broker.ts"
import type { Send } from "./RabbitMqConfirms.ts"
import { headersToRepeat, toQueue } from "./RabbitMqMessage.ts"
import { refuseReturned } from "./RabbitMqPublisher.ts"
import * as RabbitMqQueues from "./RabbitMqQueues.ts"

/** What the distributor has in hand: enough to keep the partitions' queues busy, published in one go. */
const distributorPrefetch = 256

/**
 * What one process may have in hand of a group, by shares of its partitions; the same for all processes, whatever their
 * workers ask for. A quorum queue puts what a dead consumer had behind what it gave back before: one that takes less
 * than its predecessor had, and dies too, would turn the order round.
 */
const groupPrefetch = 512

const singleActiveConsumer = { "x-single-active-consumer": true }

export interface OrderedGroup {
  readonly address: string
  /** The group's queue. */
  readonly name: string
  readonly ordered: Ordered
}

const queueOf = (name: string, partition: number): string => `${name}.${partition}`
const partitionsOf = ({ name, ordered }: Pick<OrderedGroup, "name" | "ordered">) =>
  Arr.makeBy(ordered.partitions, (partition) => queueOf(name, partition))

/** All queues of a group, be it ordered or not. */
export const queuesOf = ({
  name,
  ordered
}: Pick<OrderedGroup, "name"> & { readonly ordered?: Ordered | undefined }): ReadonlyArray<string> =>
  ordered === undefined ? [name] : [name, ...partitionsOf({ name, ordered })]

// Declaring

const refused = (detail: string) => new BrokerError({ reason: new BrokerRefused({ detail }) })

/** Makes the group's queue and those of its partitions; refuses queues that were made otherwise. */
export const declare = Effect.fnUntraced(function* (
  model: ChannelModel,
  { type, ...group }: OrderedGroup & { readonly type: RabbitMqQueues.QueueType }
) {
  const { address, name, ordered } = group
  const make = (queue: string) =>
    RabbitMqQueues.declareAs(model, { address, name: queue, type, arguments: singleActiveConsumer }).pipe(
      Effect.filterOrFail(
        (isAsDeclared) => isAsDeclared,
        () =>
          refused(
            `RabbitMQ at ${address}: queue ${queue} exists and was not made for an ordered group ` +
              "(x-single-active-consumer, and the same queue type): delete it once it is empty, or choose another groupId"
          )
      )
    )
  yield* make(name)
  // The first is made last: where it is, all of them are.
  const exists = (partition: number) => RabbitMqQueues.exists(model, { address, name: queueOf(name, partition) })
  const isMade = yield* exists(0)
  const isFewer = isMade && !(yield* exists(ordered.partitions - 1))
  const isMore = yield* exists(ordered.partitions)
  if (isFewer || isMore) {
    return yield* refused(
      `RabbitMQ at ${address}: ordered group ${name} has another number of partitions than ${ordered.partitions}: ` +
        `stop its workers, and delete its queues ${name}.0 and following once they are empty`
    )
  }
  yield* Effect.forEach(Arr.reverse(partitionsOf(group)), make, { discard: true })
})

// Distributing

interface Addressed {
  readonly delivery: Delivery
  readonly key: string | undefined
}

const keyed = (delivery: Delivery): Addressed => {
  const { key } = delivery.headers
  return { delivery, key: Predicate.isString(key) ? key : undefined }
}

/** Rounds of messages of different keys: those of one key come in one round after the other. */
const roundsOf = (batch: ReadonlyArray<Delivery>): ReadonlyArray<ReadonlyArray<Addressed>> => {
  const rounds: Array<Array<Addressed>> = []
  const seen = new Map<string, number>()
  for (const one of batch.map(keyed)) {
    const round = one.key === undefined ? 0 : (seen.get(one.key) ?? 0)
    if (one.key !== undefined) seen.set(one.key, round + 1)
    const open = rounds[round]
    if (open === undefined) rounds.push([one])
    else open.push(one)
  }
  return rounds
}

const distribute = (
  { name, ordered }: OrderedGroup,
  send: Send,
  settle: (settlements: ReadonlyArray<Settlement>) => void
) => {
  let spread = 0
  const envelope = ({ delivery, key }: Addressed) => {
    const content = contentOf(delivery)
    const partition = key === undefined ? spread++ % ordered.partitions : partitionOf(key, ordered.partitions)
    return toQueue(queueOf(name, partition), { ...content, headers: headersToRepeat(content.headers) })
  }
  return (batch: ReadonlyArray<Delivery>) =>
    Effect.forEach(roundsOf(batch), (round) => Effect.flatMap(send(round.map(envelope)), refuseReturned), {
      discard: true
    }).pipe(
      // Confirmed before they are acknowledged, and acknowledged together: what comes again is the end of the queue's part
      // that we had.
      Effect.andThen(Effect.sync(() => settle(batch.map((delivery) => ({ delivery, outcome: "done" })))))
    )
}

/** Deliveries of all partitions for which this process is the active one; distributes as long as it is consumed. */
export const deliveries = (
  group: OrderedGroup & { readonly maxBytesInFlight: number },
  send: Send,
  settle: (settlements: ReadonlyArray<Settlement>) => void,
  consume: (options: {
    readonly queue: string
    readonly prefetch: number
    readonly maxBytesInFlight: number
  }) => Stream.Stream<Delivery, BrokerError>
): Stream.Stream<Delivery, BrokerError> => {
  const { maxBytesInFlight, name, ordered } = group
  // One that ends begins anew: it had to let go.
  const lasting = (options: Parameters<typeof consume>[0]) => Stream.repeat(consume(options), Schedule.forever)
  const share = {
    prefetch: Math.max(1, Math.floor(groupPrefetch / ordered.partitions)),
    maxBytesInFlight: maxBytesInFlight / ordered.partitions
  }
  const partitions = partitionsOf(group).map((queue) => lasting({ ...share, queue }))
  const source = lasting({ queue: name, prefetch: distributorPrefetch, maxBytesInFlight })
  return Stream.mergeAll(partitions, { concurrency: "unbounded" }).pipe(
    Stream.mergeEffect(Stream.runForEachArray(source, distribute(group, send, settle)))
  )
}
