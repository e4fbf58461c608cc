/**
 * What a consumer has claimed and not settled yet, and how that stays its own.
 *
 * A claim lapses when its holder has not renewed it for `claimLifetimeSeconds`, so the messages of a process that was
 * killed come back within that time and `upkeepInterval`, while those of a slow one stay its own.
 */
import { Clock, Effect, type Latch } from "effect"
import { BrokerError, Unroutable } from "../../domain/ports/Broker.ts"
import { type JobQueue, schema } from "./JobQueue.ts"

/** How long a claim holds without being renewed: several upkeeps may be missed. */
const claimLifetimeSeconds = 6
const upkeepInterval = "1 second"

/** A claim younger than this needs no renewal yet; most are settled before. */
const renewAfterMillis = 1000

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

// Upkeep

const renew = Effect.fnUntraced(function* (jobs: JobQueue, consumer: Consumer) {
  const before = (yield* Clock.currentTimeMillis) - renewAfterMillis
  const old = [...consumer.claims.values()].filter((claim) => claim.sinceMillis <= before).map((claim) => claim.job)
  if (old.length > 0) yield* jobs.use((boss) => boss.touch(consumer.queue, old))
})

// A row for the queue itself, and one for each claim that has lapsed.
const lapsed = `
  SELECT job.id, job.retry_count AS "retryCount" FROM ${schema}.queue LEFT JOIN ${schema}.job
    ON job.name = queue.name AND state = 'active' AND heartbeat_on < now() - interval '${claimLifetimeSeconds} seconds'
  WHERE queue.name = $1 LIMIT 10000`

// Whoever consumes the queue returns what others have let lapse; the library's fence keeps a newer claim from harm.
const returnLapsed = Effect.fnUntraced(function* (jobs: JobQueue, consumer: Consumer) {
  const { rows } = yield* jobs.use((boss) => boss.getDb().executeSql(lapsed, [consumer.queue]))
  if (rows.length === 0) return yield* noQueue(jobs, consumer.queue)
  const claims = rows.filter(({ id }) => id !== null)
  if (claims.length > 0) yield* jobs.use((boss) => boss.fail(consumer.queue, claims))
})

/** A queue that is not there, or is there no longer. */
export const noQueue = (jobs: JobQueue, queue: string) =>
  new BrokerError({ reason: new Unroutable({ detail: `no queue ${queue} at ${jobs.address}` }) })

/** Renews our claims and returns lapsed ones, as long as the queue exists. */
export const upkeep = (jobs: JobQueue, consumer: Consumer) =>
  renew(jobs, consumer).pipe(
    Effect.andThen(returnLapsed(jobs, consumer)),
    Effect.andThen(Effect.sleep(upkeepInterval)),
    Effect.forever
  )

/** Gives back what is left. */
export const giveBack = (jobs: JobQueue, consumer: Consumer) => {
  const left = [...consumer.claims.values()].filter((claim) => !claim.isSettling)
  consumer.claims.clear()
  if (left.length === 0) return Effect.void
  const jobsLeft = left.map((claim) => claim.job)
  return jobs
    .use((boss) => boss.fail(consumer.queue, jobsLeft))
    .pipe(
      // they come back all the same, when the claim lapses
      Effect.catch((error) => Effect.logDebug(`not given back: ${error.message}`))
    )
}
