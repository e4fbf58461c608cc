/**
 * Topics over queues: which queues get a topic's messages is in the library's own table of subscriptions.
 *
 * ## Guarantees
 * - A message reaches all queues that are bound when it is published, or none of them: one statement inserts them all.
 * - What one process publishes to a topic is fetched in that order.
 * - What nobody subscribes to is kept in the queue `paystream.unrouted`.
 *
 * ## Assumptions
 * - A group's queue is `<topic>.<group>`: no other topic is named so.
 */
import { Duration, Effect } from "effect"
import { BrokerError, BrokerRefused, type DelayedMessage, type TopicMessage } from "../../domain/ports/Broker.ts"
import * as Envelope from "./Envelope.ts"
import { batchesOf, insert } from "./Inserts.ts"
import { type JobQueue, schema } from "./JobQueue.ts"
import { keyByKey, keyOf } from "./OrderedQueues.ts"

/** Where messages are kept that were published to a topic without subscribers. */
export const unroutedQueue = "paystream.unrouted"

/** Makes a queue's subscription to a topic, unless it exists. */
export const subscribe = Effect.fnUntraced(function* (
  jobs: JobQueue,
  topic: string,
  name: string
): Effect.fn.Return<void, BrokerError> {
  yield* refuseOddNames(jobs, [topic])
  yield* jobs.use((boss) => boss.subscribe(topic, name))
})

// The library's insert knows one queue, and gives all rows one time: what is fetched first would be left to chance.
const publishRows = `
  WITH message AS (
    SELECT * FROM json_to_recordset($1::text::json) AS message (place integer, topic text, key text, data jsonb)
  ), target AS (
    SELECT message.data, message.key, COALESCE(subscription.name, '${unroutedQueue}') AS queue_name,
      now() + message.place * interval '1 microsecond' AS created_on
    FROM message LEFT JOIN ${schema}.subscription ON subscription.event = message.topic
  ), inserted AS (
    INSERT INTO ${schema}.job (name, data, created_on, start_after, keep_until, policy, singleton_key,
      expire_seconds, deletion_seconds, retry_limit, retry_delay, retry_backoff, heartbeat_seconds)
    SELECT queue.name, target.data || jsonb_build_object('order', extract(epoch FROM target.created_on)),
      target.created_on, now(), now() + queue.retention_seconds * interval '1 second', queue.policy,
      CASE WHEN queue.policy = '${keyByKey}' THEN COALESCE(target.key, gen_random_uuid()::text) END, queue.expire_seconds, queue.deletion_seconds, queue.retry_limit, queue.retry_delay, queue.retry_backoff,
      queue.heartbeat_seconds
    FROM target LEFT JOIN ${schema}.queue ON queue.name = target.queue_name
    RETURNING name
  )
  SELECT DISTINCT name FROM inserted`

/** Publishes to every queue bound to each topic; the queues that have got something. */
export const publish = Effect.fnUntraced(function* (
  jobs: JobQueue,
  messages: ReadonlyArray<TopicMessage>
): Effect.fn.Return<ReadonlyArray<string>, BrokerError> {
  yield* refuseOddNames(jobs, new Set(messages.map(({ topic }) => topic)))
  const queues = yield* Effect.forEach(batchesOf(messages), (batch) => {
    const rows = batch.map((message, place) => ({
      place,
      topic: message.topic,
      key: keyOf(message),
      data: Envelope.seal(message)
    }))
    return jobs.use((boss) => boss.getDb().executeSql(publishRows, [JSON.stringify(rows)]))
  })
  return queues.flatMap(({ rows }) => rows.map(({ name }) => String(name)))
})

/** A century: PostgreSQL has no time for a delay without end, and would refuse it for ever. */
const longestSeconds = 100 * 365 * 86_400

const secondsOf = (delay: Duration.Duration): string => Math.min(Duration.toSeconds(delay), longestSeconds).toFixed(3)

/** Adds messages to one queue, each to be fetched after its delay. */
export const deliverLater = (jobs: JobQueue, queue: string, messages: ReadonlyArray<DelayedMessage>) =>
  Effect.forEach(
    batchesOf(messages),
    (batch) => {
      const rows = batch.map((message) => ({
        message,
        startAfter: secondsOf(message.delay)
      }))
      return insert(jobs, queue, rows)
    },
    { discard: true }
  )

// As the library takes names of queues; it looks at no topic.
const takenName = /^[\w.\-/]+$/

const refuseOddNames = (jobs: JobQueue, topics: Iterable<string>) =>
  Effect.forEach(
    topics,
    (topic) => {
      if (takenName.test(topic)) return Effect.void
      const detail = `embedded broker at ${jobs.address}: topic ${JSON.stringify(topic)} may have letters, digits and _ - . / only`
      return Effect.fail(new BrokerError({ reason: new BrokerRefused({ detail }) }))
    },
    { discard: true }
  )
