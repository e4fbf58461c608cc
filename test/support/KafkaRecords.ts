/** Topics as a stranger to the product sees them: the bare client. */
import { Effect } from "effect"
import type { Kafka } from "kafkajs"
import { client, lag } from "./KafkaServices.ts"

const text = (value: unknown): string => JSON.stringify(value)

/** Publishes JSON values. */
export const publish = (topic: string, messages: ReadonlyArray<{ readonly key: string; readonly value: unknown }>) =>
  Effect.promise(async () => {
    const producer = client().producer({ allowAutoTopicCreation: false })
    await producer.connect()
    await producer.send({ topic, messages: messages.map(({ key, value }) => ({ key, value: text(value) })) })
    await producer.disconnect()
  })

/** A record as it lies in its partition. */
export interface Found {
  /** The message's id, as the product writes it. */
  readonly id: string
  readonly key: string
  readonly value: string
}

/** Reads a topic from its beginning to its end, as it is now: partition by partition in order. */
const readAll = async (kafka: Kafka, topic: string): Promise<ReadonlyArray<Found>> => {
  const admin = kafka.admin()
  await admin.connect()
  const ends = await admin.fetchTopicOffsets(topic).finally(() => admin.disconnect())
  const missing = new Map(ends.filter(({ high, low }) => high !== low).map((one) => [one.partition, Number(one.high)]))
  const found: Array<Found> = []
  if (missing.size === 0) return found
  const consumer = kafka.consumer({ groupId: `reader-${crypto.randomUUID()}`, maxWaitTimeInMs: 50 })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise<void>((resolve, reject) => {
    const eachBatch = async ({ batch }: { readonly batch: import("kafkajs").Batch }) => {
      for (const { headers, key, value } of batch.messages)
        found.push({ id: String(headers?.["message-id"]), key: String(key), value: String(value) })
      if (Number(batch.lastOffset()) + 1 >= (missing.get(batch.partition) ?? 0)) missing.delete(batch.partition)
      if (missing.size === 0) resolve()
    }
    consumer.run({ autoCommit: false, eachBatch }).catch(reject)
  })
  await consumer.disconnect()
  return found
}

/** All records of a topic, of the tests' broker unless told. */
export const recordsOf = (topic: string, brokers?: string): Effect.Effect<ReadonlyArray<Found>> =>
  Effect.promise(() => readAll(client(brokers), topic))

/** The field `n` of each value in a topic, partition by partition in order. */
export const numbersOf = (topic: string): Effect.Effect<ReadonlyArray<number>> =>
  Effect.map(recordsOf(topic), (all) => all.map(({ value }) => JSON.parse(value).n))

/** What a group has not committed. */
export const lagOf = (topic: string, group: string) => lag({ _tag: "Topic", topic, group })
