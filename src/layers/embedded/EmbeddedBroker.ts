/**
 * The broker without a broker: queues in a PostgreSQL, kept by pg-boss.
 *
 * ## Guarantees
 * - Those of the port: durable, at least once, dead letters by publishing them. A message is a row; `publish` returns
 *   when its rows are committed, `done` deletes the row.
 * - Redelivered without limit, and at once: after `return`, after its stream has closed, and within seconds after a
 *   `kill -9` of the process that held it.
 * - A rejected message is never delivered again; its row stays for a week, to be looked at (state `cancelled`).
 *
 * ## Assumptions
 * - Names of queues and topics have letters, digits and `_ - . /` only.
 * - The bytes in flight are bounded by the sizes seen of late: messages that grow from one fetch to the next may exceed
 *   the limit once.
 */
import { Effect, Layer, Predicate, type Redacted, Stream } from "effect"
import {
  Broker,
  type BrokerError,
  groupQueue,
  type OutgoingMessage,
  queueOf,
  type Settlement
} from "../../domain/ports/Broker.ts"
import * as Browser from "./Browser.ts"
import * as Claims from "./Claims.ts"
import * as Consumer from "./Consumer.ts"
import * as DeadLetters from "./DeadLetters.ts"
import { EmbeddedPostgres } from "./EmbeddedPostgres.ts"
import { batchesOf, insert } from "./Inserts.ts"
import * as JobQueue from "./JobQueue.ts"
import * as OrderedQueues from "./OrderedQueues.ts"
import * as Topics from "./Topics.ts"

/** Which PostgreSQL, and how much of what is not settled is in memory. */
export interface EmbeddedBrokerOptions {
  readonly url: Redacted.Redacted
  /** Bodies delivered and not settled, for each stream of deliveries. */
  readonly maxBytesInFlight?: number
}

const defaultMaxBytesInFlight = 64 * 1024 * 1024

const largestInteger = 2 ** 31 - 1
const secondsPerDay = 86_400

const queueOptions = {
  retryLimit: largestInteger,
  retryDelay: 0,
  retentionSeconds: largestInteger, // a message waits for as long as it takes
  expireInSeconds: secondsPerDay, // the longest there is; claims lapse much sooner
  deleteAfterSeconds: 7 * secondsPerDay
}

// Settling

const claimOf = ({ delivery, outcome }: Settlement) =>
  delivery.receipt instanceof Claims.Claim && Claims.isHeld(delivery.receipt)
    ? { claim: delivery.receipt, key: `${outcome} ${delivery.receipt.consumer.queue}`, outcome }
    : undefined

const settleGroup = (jobs: JobQueue.JobQueue, group: ReadonlyArray<NonNullable<ReturnType<typeof claimOf>>>) => {
  const claims = group.map(({ claim }) => claim)
  const settled = claims.map((claim) => claim.job)
  const queue = claims[0]?.consumer.queue ?? ""
  const mark = (isSettling: boolean) =>
    Effect.sync(() => {
      for (const claim of claims) claim.isSettling = isSettling
    })
  const settle = jobs.use((boss) => {
    if (group[0]?.outcome === "done") return boss.deleteJob(queue, settled)
    return group[0]?.outcome === "reject" ? boss.cancel(queue, settled) : boss.fail(queue, settled)
  })
  return mark(true).pipe(
    Effect.andThen(settle),
    Effect.tapError(() => mark(false)),
    Effect.andThen(Effect.sync(() => Claims.forget(claims)))
  )
}

const settle = (jobs: JobQueue.JobQueue) => (settlements: ReadonlyArray<Settlement>) => {
  const held = settlements.map(claimOf).filter(Predicate.isNotUndefined)
  const groups = Map.groupBy(held, ({ key }) => key).values()
  const removed = settlements.flatMap(({ delivery: { receipt }, outcome }) =>
    receipt instanceof Browser.Seen && outcome !== "return" ? [receipt] : []
  )
  return Effect.forEach(groups, (group) => settleGroup(jobs, group), { discard: true }).pipe(
    Effect.andThen(Browser.remove(jobs, removed)),
    Effect.uninterruptible
  )
}

// Asking

const waiting = `
  SELECT (
    SELECT count(*) FROM ${JobQueue.schema}.job
    WHERE name = queue.name AND state < 'active' AND NOT blocked AND start_after <= now()
  ) AS count
  FROM ${JobQueue.schema}.queue WHERE name = $1`

const depth = (jobs: JobQueue.JobQueue) => (queue: string) =>
  jobs
    .use((boss) => boss.getDb().executeSql(waiting, [queue]))
    .pipe(
      Effect.filterOrFail(
        ({ rows }) => rows.length === 1,
        () => Claims.noQueue(jobs, queue)
      ),
      Effect.map(({ rows }) => Number(rows[0].count))
    )

const status = (jobs: JobQueue.JobQueue) =>
  Effect.interruptible(jobs.use((boss) => boss.getDb().executeSql("SELECT 1"))).pipe(
    Effect.timeout("2 seconds"),
    Effect.match({ onSuccess: () => "connected" as const, onFailure: () => "away" as const })
  )

// Layer

const make = Effect.fnUntraced(function* (options: EmbeddedBrokerOptions) {
  const jobs = yield* JobQueue.make(options.url)
  const consumers = new Set<Claims.Consumer>()
  const maxBytes = options.maxBytesInFlight ?? defaultMaxBytesInFlight
  const consume = (queue: string, prefetch: number) =>
    Effect.acquireRelease(
      Effect.tap(Consumer.make(jobs, { queue, prefetch, maxBytes }), (consumer) =>
        Effect.sync(() => consumers.add(consumer))
      ),
      (consumer) => Effect.sync(() => consumers.delete(consumer))
    )
  // consumers in this process need not wait for their next poll
  const wake = (queue: string) =>
    Effect.sync(() => {
      for (const consumer of consumers) if (consumer.queue === queue) consumer.wake.openUnsafe()
    })
  const publishTo = (queue: string, messages: ReadonlyArray<OutgoingMessage>) =>
    Effect.forEach(
      batchesOf(messages),
      (batch) => {
        const rows = batch.map((message) => ({ message }))
        return Effect.andThen(insert(jobs, queue, rows), wake(queue))
      },
      { discard: true }
    )
  const ensureQueue = (name: string) => jobs.use((boss) => boss.createQueue(name, queueOptions))
  yield* ensureQueue(Topics.unroutedQueue)
  return Broker.of({
    kind: "embedded",
    address: jobs.address,
    ensureQueue,
    deliveries: (subscription, { prefetch }) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const { name } = yield* queueOf(jobs.address, subscription)
          return Consumer.deliveries(jobs, yield* consume(name, prefetch))
        })
      ),
    settle: settle(jobs),
    publish: (messages) =>
      Effect.forEach(
        Map.groupBy(messages, (message) => message.queue),
        ([queue, batch]) => publishTo(queue, batch),
        { discard: true }
      ),
    subscribe: (topic, group, { ordered } = {}) => {
      const name = groupQueue(topic, group)
      const ensure = ordered ? OrderedQueues.ensure(jobs, name, queueOptions) : ensureQueue(name)
      return Effect.andThen(ensure, Topics.subscribe(jobs, topic, name)).pipe(
        Effect.as({ _tag: "Queue", name, ...(ordered && { ordered }) })
      )
    },
    publishToTopics: (messages) =>
      Effect.flatMap(Topics.publish(jobs, messages), (queues) => Effect.forEach(queues, wake, { discard: true })),
    deliverLater: (subscription, messages) =>
      Effect.flatMap(queueOf(jobs.address, subscription), ({ name }) =>
        Effect.andThen(Topics.deliverLater(jobs, name, messages), wake(name))
      ),
    lookUp: (topic, group) => {
      const name = groupQueue(topic, group)
      return Effect.as(depth(jobs)(name), { _tag: "Queue", name } as const)
    },
    browse: (queue) => Effect.map(depth(jobs)(queue), (waiting) => Browser.browse(jobs, queue, waiting)),
    depth: depth(jobs),
    backlog: (subscription) => Effect.flatMap(queueOf(jobs.address, subscription), ({ name }) => depth(jobs)(name)),
    forgetDeadLetters: (age, limit) => DeadLetters.forget(jobs, age, limit),
    status: status(jobs)
  })
})

/** A broker on any PostgreSQL. */
export const layerOn = (options: EmbeddedBrokerOptions): Layer.Layer<Broker, BrokerError> =>
  Layer.effect(Broker, make(options))

/** A broker on the embedded PostgreSQL. */
export const layer: Layer.Layer<Broker, BrokerError, EmbeddedPostgres> = Layer.unwrap(
  EmbeddedPostgres.useSync(({ url }) => layerOn({ url }))
)
