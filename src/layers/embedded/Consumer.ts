/** One stream of deliveries from the embedded broker: claims rows as long as there is room, and waits for more. */
import { Clock, Effect, Latch, type Scope, Stream } from "effect"
import type { BrokerError, Delivery } from "../../domain/ports/Broker.ts"
import { Claim, type Consumer, giveBack, upkeep } from "./Claims.ts"
import * as Envelope from "./Envelope.ts"
import type { JobQueue } from "./JobQueue.ts"

/** Rows in one statement: more gain nothing. */
const largestBatch = 500

/** Polling waits this long at first, twice as long each time, as long as there is nothing. */
const shortestPauseMillis = 1
const longestPauseMillis = 50

// Fetching

const bytesHeld = (consumer: Consumer): number => {
  let bytes = 0
  for (const claim of consumer.claims.values()) bytes += claim.bytes
  return bytes
}

// Sizes are known only after the fetch: as many rows as would fit if each were as large as the largest of late. The
// first fetch is of one row, the next ones of up to twice as many each.
const roomFor = (consumer: Consumer): number => {
  const byCount = Math.min(consumer.prefetch - consumer.claims.size, largestBatch)
  const byBytes = Math.floor((consumer.maxBytes - bytesHeld(consumer)) / consumer.largestSeen)
  return consumer.claims.size === 0 ? Math.max(1, Math.min(byCount, byBytes)) : Math.min(byCount, byBytes)
}

interface Job {
  readonly id: string
  readonly retryCount: number
  readonly data: Envelope.Envelope
}

const toDelivery = (consumer: Consumer, { id, retryCount, data }: Job, nowMillis: number): Delivery => {
  const content = Envelope.open(data)
  const claim = new Claim(consumer, { id, retryCount }, content.body.length, nowMillis)
  consumer.claims.set(id, claim)
  return { ...content, attempt: retryCount + 1, receipt: claim }
}

// The library claims the oldest rows, and returns them in no order.
const inOrder = (found: Array<Job>): Array<Job> =>
  found.sort((one, other) => (one.data.order ?? 0) - (other.data.order ?? 0))

// Not to be interrupted: rows that were claimed and not noted would wait until the claim lapses.
const fetch = (jobs: JobQueue, consumer: Consumer, batchSize: number) =>
  Effect.uninterruptible(
    Effect.gen(function* () {
      const found = yield* jobs.use((boss) => boss.fetch<Envelope.Envelope>(consumer.queue, { batchSize }))
      const nowMillis = yield* Clock.currentTimeMillis
      const deliveries = inOrder(found).map((job) => toDelivery(consumer, job, nowMillis))
      const largest = deliveries.reduce((bytes, { body }) => Math.max(bytes, body.length), 1)
      if (deliveries.length > 0) consumer.largestSeen = Math.max(largest, consumer.largestSeen / 2)
      return deliveries
    })
  )

const pause = (consumer: Consumer): Effect.Effect<void> => {
  const wait = Effect.timeoutOption(consumer.wake.await, consumer.pauseMillis)
  consumer.pauseMillis = Math.min(consumer.pauseMillis * 2, longestPauseMillis)
  return Effect.asVoid(wait)
}

const fetchOrWait = Effect.fnUntraced(function* (jobs: JobQueue, consumer: Consumer) {
  // closed before looking: what comes while we look opens it again
  consumer.wake.closeUnsafe()
  const room = roomFor(consumer)
  if (room < 1) {
    yield* consumer.wake.await
    return []
  }
  const deliveries = yield* fetch(jobs, consumer, room)
  if (deliveries.length === 0) yield* pause(consumer)
  else consumer.pauseMillis = shortestPauseMillis
  return deliveries
})

/** Makes a consumer that gives back what it holds when the scope closes. */
export const make = (
  jobs: JobQueue,
  options: Pick<Consumer, "queue" | "prefetch" | "maxBytes">
): Effect.Effect<Consumer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.map(
      Latch.make(false),
      (wake): Consumer => ({
        ...options,
        claims: new Map(),
        wake,
        largestSeen: options.maxBytes,
        pauseMillis: shortestPauseMillis
      })
    ),
    (consumer) => giveBack(jobs, consumer)
  )

/** The deliveries of a consumer; fails when the database does. */
export const deliveries = (jobs: JobQueue, consumer: Consumer): Stream.Stream<Delivery, BrokerError> =>
  Stream.fromEffectRepeat(fetchOrWait(jobs, consumer)).pipe(
    Stream.filter((batch): batch is [Delivery, ...Array<Delivery>] => batch.length > 0),
    Stream.flattenArray,
    Stream.mergeEffect(upkeep(jobs, consumer)),
    // fetches ahead of who consumes, no further than the prefetch
    Stream.bufferArray({ capacity: "unbounded" })
  )
