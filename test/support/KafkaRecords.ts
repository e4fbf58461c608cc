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

/** Reads a topic from its beginning to its end, as it is now. */
const readAll = async (kafka: Kafka, topic: string): Promise<ReadonlyArray<string>> => {
  const admin = kafka.admin()
  await admin.connect()
  const ends = await admin.fetchTopicOffsets(topic).finally(() => admin.disconnect())
  const missing = new Map(ends.filter(({ high, low }) => high !== low).map((one) => [one.partition, Number(one.high)]))
  const values: Array<string> = []
  if (missing.size === 0) return values
  const consumer = kafka.consumer({ groupId: `reader-${crypto.randomUUID()}`, maxWaitTimeInMs: 50 })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise<void>((resolve, reject) => {
    const eachBatch = async ({ batch }: { readonly batch: import("kafkajs").Batch }) => {
      for (const { value } of batch.messages) values.push(String(value))
      if (Number(batch.lastOffset()) + 1 >= (missing.get(batch.partition) ?? 0)) missing.delete(batch.partition)
      if (missing.size === 0) resolve()
    }
    consumer.run({ autoCommit: false, eachBatch }).catch(reject)
  })
  await consumer.disconnect()
  return values
}

/** The field `n` of each value in a topic, partition by partition in order. */
export const numbersOf = (topic: string): Effect.Effect<ReadonlyArray<number>> =>
  Effect.promise(async () => (await readAll(client(), topic)).map((value) => JSON.parse(value).n))

/** What a group has not committed. */
export const lagOf = (topic: string, group: string) => lag({ _tag: "Topic", topic, group })
