/**
 * One stream of deliveries from the embedded broker: claims rows, keeps its claims alive, gives back what is left.
 *
 * A claim lapses when its holder has not renewed it for `claimLifetimeSeconds`, so the messages of a process that was
 * killed come back within that time and `upkeepInterval`, while those of a slow one stay its own.
 */
import { type Array, Clock, Effect, Latch, type Scope, Stream } from "effect"
import type { BrokerError, Delivery } from "../../domain/ports/Broker.ts"
import * as Envelope from "./Envelope.ts"
import { type JobQueue, schema } from "./JobQueue.ts"

/** How long a claim holds without being renewed: several upkeeps may be missed. */
const claimLifetimeSeconds = 6
const upkeepInterval = "1 second"

/** A claim younger than this needs no renewal yet; most are settled before. */
const renewAfterMillis = 1000

/** Rows in one statement: more gain nothing. */
const largestBatch = 500

/** Polling waits this long at first, twice as long each time, as long as there is nothing. */
const shortestPauseMillis = 1
const longestPauseMillis = 50

/** A row that we have claimed and not settled: the receipt of a delivery. */
export class Claim {
  isSettling = false
  readonly consumer: Consumer
  readonly job: { readonly id: string; readonly retryCount: number }
  readonly bytes: number
  readonly sinceMillis: number
  constructor(consumer: Consumer, job: Claim["job"], bytes: number, sinceMillis: number) {
    this.consumer = consumer
    this.job = job
    this.bytes = bytes
    this.sinceMillis = sinceMillis
  }
}

/** What one stream holds. */
export interface Consumer {
  readonly queue: string
  readonly prefetch: number
  readonly maxBytes: number
  readonly claims: Map<string, Claim>
  /** Opened when there may be something to fetch, or room for it. */
  readonly wake: Latch.Latch
  /** In bytes, of late. */
  largestSeen: number
  pauseMillis: number
}

/** Removes what is settled, and lets the stream go on. */
export const forget = (claims: ReadonlyArray<Claim>): void => {
  for (const { consumer, job } of claims) {
    consumer.claims.delete(job.id)
    consumer.wake.openUnsafe()
  }
}

/** Whether a delivery is still its consumer's to settle. */
export const isHeld = (claim: Claim): boolean => claim.consumer.claims.get(claim.job.id) === claim

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

// Not to be interrupted: rows that were claimed and not noted would wait until the claim lapses.
const fetch = (jobs: JobQueue, consumer: Consumer, batchSize: number) =>
  Effect.uninterruptible(
    Effect.gen(function* () {
      const found = yield* jobs.use((boss) => boss.fetch<Envelope.Envelope>(consumer.queue, { batchSize }))
      const nowMillis = yield* Clock.currentTimeMillis
      const deliveries = found.map((job) => toDelivery(consumer, job, nowMillis))
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

// Upkeep

const renew = Effect.fnUntraced(function* (jobs: JobQueue, consumer: Consumer) {
  const before = (yield* Clock.currentTimeMillis) - renewAfterMillis
  const old = [...consumer.claims.values()].filter((claim) => claim.sinceMillis <= before).map((claim) => claim.job)
  if (old.length > 0) yield* jobs.use((boss) => boss.touch(consumer.queue, old))
})

const lapsed = `
  SELECT id, retry_count AS "retryCount" FROM ${schema}.job
  WHERE name = $1 AND state = 'active' AND heartbeat_on < now() - interval '${claimLifetimeSeconds} seconds'
  LIMIT 10000`

// Whoever consumes the queue returns what others have let lapse; the library's fence keeps a newer claim from harm.
const returnLapsed = (jobs: JobQueue, consumer: Consumer) =>
  jobs.use(async (boss) => {
    const { rows } = await boss.getDb().executeSql(lapsed, [consumer.queue])
    if (rows.length > 0) await boss.fail(consumer.queue, rows)
  })

const upkeep = (jobs: JobQueue, consumer: Consumer) =>
  renew(jobs, consumer).pipe(
    Effect.andThen(returnLapsed(jobs, consumer)),
    Effect.andThen(Effect.sleep(upkeepInterval)),
    Effect.forever
  )

// Closing

const giveBack = (jobs: JobQueue, consumer: Consumer) => {
  const left = [...consumer.claims.values()].filter((claim) => !claim.isSettling)
  consumer.claims.clear()
  if (left.length === 0) return Effect.void
  return jobs
    .use((boss) =>
      boss.fail(
        consumer.queue,
        left.map((claim) => claim.job)
      )
    )
    .pipe(
      // they come back all the same, when the claim lapses
      Effect.catch((error) => Effect.logDebug(`not given back: ${error.message}`))
    )
}

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
    Stream.filter((batch): batch is Array.NonEmptyArray<Delivery> => batch.length > 0),
    Stream.flattenArray,
    Stream.mergeEffect(upkeep(jobs, consumer)),
    // fetches ahead of who consumes, no further than the prefetch
    Stream.bufferArray({ capacity: "unbounded" })
  )
