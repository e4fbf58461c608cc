/**
 * Publishing, idempotent and confirmed by all replicas in sync. What several callers publish while a request is under
 * way leaves in one: a message each would cost a request each.
 *
 * ## Guarantees
 * - Each caller hears of its own messages alone: where a shared request fails for good, each is tried by itself.
 * - A producer that has failed is not used again: its next request would carry the numbers of the one whose end nobody
 *   knows, and the broker could take new messages for repeats of old ones.
 */
import { Deferred, Effect, Latch, type Scope } from "effect"
import type { Message, Producer } from "kafkajs"
import type { BrokerError } from "../../domain/ports/Broker.ts"
import * as Internals from "./Internals.ts"
import { type KafkaClient, retry } from "./KafkaClient.ts"
import * as Partitioner from "./Partitioner.ts"

export interface TopicRecord {
  readonly topic: string
  readonly record: Message
}

/** Publishes and returns when all are confirmed. */
export type Publish = (records: ReadonlyArray<TopicRecord>) => Effect.Effect<void, BrokerError>

interface Waiting {
  readonly records: ReadonlyArray<TopicRecord>
  readonly bytes: number
  readonly done: Deferred.Deferred<void, BrokerError>
}

/** Below the 1 MiB that a broker takes in one batch by default, even if all went to one partition. */
const mostBytes = 512 * 1024
const mostRecords = 5_000
/** Headers and framing of a record, roughly. */
const recordOverheadBytes = 200

const bytesOf = (records: ReadonlyArray<TopicRecord>): number =>
  records.reduce((sum, { record }) => sum + (record.value?.length ?? 0) + recordOverheadBytes, 0)

const byTopic = (records: ReadonlyArray<TopicRecord>) =>
  [...Map.groupBy(records, ({ topic }) => topic)].map(([topic, own]) => ({
    topic,
    messages: Internals.groupedInOneGo(own.map(({ record }) => record))
  }))

/** A producer that connects when first used, and again after a failure. */
const producing = (client: KafkaClient) => {
  let current: Producer | undefined
  const retire = Effect.suspend(() => {
    const producer = current
    current = undefined
    return producer === undefined ? Effect.void : quietly(() => producer.disconnect())
  })
  const connected = async () => {
    if (current !== undefined) return current
    const producer = client.kafka.producer({
      idempotent: true,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioner.make,
      maxInFlightRequests: 1,
      // Each try connects anew, which is tried several times itself.
      retry: { ...retry, retries: 1 }
    })
    await producer.connect()
    current = producer
    return producer
  }
  const send = (records: ReadonlyArray<TopicRecord>) =>
    client
      .attempt(`publish to ${[...new Set(records.map(({ topic }) => topic))].join(", ")}`, async () => {
        const producer = await connected()
        await producer.sendBatch({ acks: -1, topicMessages: byTopic(records) })
      })
      // Uninterruptible: a request that nobody waits for any more is a request whose end nobody knows.
      .pipe(
        Effect.uninterruptible,
        Effect.onError(() => retire)
      )
  return { retire, send }
}

const quietly = (evaluate: () => Promise<void>) =>
  Effect.timeoutOption(Effect.ignore(Effect.tryPromise(evaluate)), "5 seconds")

/** The producer of a process. */
export const make = Effect.fnUntraced(function* (client: KafkaClient): Effect.fn.Return<Publish, never, Scope.Scope> {
  const { retire, send } = producing(client)
  yield* Effect.addFinalizer(() => retire)
  const waiting: Array<Waiting> = []
  const arrived = yield* Latch.make(false)

  const takeBatch = (): ReadonlyArray<Waiting> => {
    let [bytes, count] = [0, 0]
    const end = waiting.findIndex((one, index) => {
      bytes += one.bytes
      count += one.records.length
      return index > 0 && (bytes > mostBytes || count > mostRecords)
    })
    return waiting.splice(0, end === -1 ? waiting.length : end)
  }
  const sendFor = (batch: ReadonlyArray<Waiting>): Effect.Effect<void> =>
    Effect.matchCauseEffect(send(batch.flatMap(({ records }) => records)), {
      onSuccess: () => Effect.forEach(batch, ({ done }) => Deferred.succeed(done, undefined), { discard: true }),
      onFailure: (cause) =>
        batch.length > 1 && cause.reasons.some((reason) => reason._tag === "Fail" && !reason.error.isRetryable)
          ? Effect.forEach(batch, (one) => sendFor([one]), { discard: true })
          : Effect.forEach(batch, ({ done }) => Deferred.failCause(done, cause), { discard: true })
    })
  const sendNext = Effect.gen(function* () {
    yield* arrived.await
    const batch = takeBatch()
    if (waiting.length === 0) yield* arrived.close
    if (batch.length > 0) yield* sendFor(batch)
  })
  yield* Effect.forkScoped(Effect.forever(sendNext))

  return (records) =>
    records.length === 0
      ? Effect.void
      : Effect.suspend(() => {
          const done = Deferred.makeUnsafe<void, BrokerError>()
          waiting.push({ records, bytes: bytesOf(records), done })
          arrived.openUnsafe()
          return Deferred.await(done)
        })
})
