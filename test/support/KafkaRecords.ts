/** Topics as a stranger to the product sees them: the bare client. */
import { Effect } from "effect"
import type { Kafka, KafkaMessage } from "kafkajs"
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

/** Reads a topic from its beginning to its end, as it is now. */
const readAll = async (kafka: Kafka, topic: string): Promise<ReadonlyArray<KafkaMessage>> => {
  const admin = kafka.admin()
  await admin.connect()
  const ends = await admin.fetchTopicOffsets(topic).finally(() => admin.disconnect())
  const missing = new Map(ends.filter(({ high, low }) => high !== low).map((one) => [one.partition, Number(one.high)]))
  const records: Array<KafkaMessage> = []
  if (missing.size === 0) return records
  const consumer = kafka.consumer({ groupId: `reader-${crypto.randomUUID()}`, maxWaitTimeInMs: 50 })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise<void>((resolve, reject) => {
    const eachBatch = async ({ batch }: { readonly batch: import("kafkajs").Batch }) => {
      records.push(...batch.messages)
      if (Number(batch.lastOffset()) + 1 >= (missing.get(batch.partition) ?? 0)) missing.delete(batch.partition)
      if (missing.size === 0) resolve()
    }
    consumer.run({ autoCommit: false, eachBatch }).catch(reject)
  })
  await consumer.disconnect()
  return records
}

/** All that is in a topic now, of the tests' broker unless told, partition by partition in order. */
export const recordsOf = (topic: string, brokers?: string): Effect.Effect<ReadonlyArray<KafkaMessage>> =>
  Effect.promise(() => readAll(client(brokers), topic))

/** A message as the product writes it. */
export interface Found {
  readonly id: string
  readonly key: string
  readonly value: string
}

/** The same, as messages of the product's. */
export const messagesOf = (topic: string, brokers?: string): Effect.Effect<ReadonlyArray<Found>> =>
  Effect.map(recordsOf(topic, brokers), (records) =>
    records.map(({ headers, key, value }) => ({
      id: String(headers?.["message-id"]),
      key: String(key),
      value: String(value)
    }))
  )

/** The field `n` of each value in a topic, partition by partition in order. */
export const numbersOf = (topic: string): Effect.Effect<ReadonlyArray<number>> =>
  Effect.map(recordsOf(topic), (records) => records.map(({ value }) => JSON.parse(String(value)).n))

/** What a group has not committed. */
export const lagOf = (topic: string, group: string) => lag({ _tag: "Topic", topic, group })
