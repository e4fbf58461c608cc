/**
 * The same on Kafka: kafkajs, an idempotent producer, each batch in one call that returns when all replicas in sync have
 * it. Order per key is that of its partition.
 */
import { Kafka, logLevel } from "kafkajs"
import { relay } from "./relayOf.ts"

const kafka = new Kafka({ brokers: (process.env.KAFKA_BROKERS ?? "").split(","), logLevel: logLevel.ERROR })
const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
await producer.connect()

await relay(async (rows) => {
  const topics = Map.groupBy(rows, ({ topic }) => topic)
  const topicMessages = [...topics].map(([topic, own]) => ({
    topic,
    messages: own.map(({ id, key, payload }) => ({ key, value: payload, headers: { "message-id": id } }))
  }))
  await producer.sendBatch({ acks: -1, topicMessages })
})
await producer.disconnect()
