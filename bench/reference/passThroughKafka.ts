/**
 * Topic to topic on Kafka as an expert writes it by hand: kafkajs, no framework. Parsed and checked on both sides, the
 * outputs of a fetched batch sent with one call to all replicas, its offset committed once they are confirmed.
 */
import { type EachBatchPayload, Kafka, type KafkaMessage, logLevel } from "kafkajs"
import { checked } from "./orderCheck.ts"

const { KAFKA_BROKERS = "", GROUP_ID = "", INPUT_TOPIC = "", OUTPUT_TOPIC = "" } = process.env

const kafka = new Kafka({ brokers: KAFKA_BROKERS.split(","), logLevel: logLevel.ERROR })
const consumer = kafka.consumer({ groupId: GROUP_ID })
const producer = kafka.producer()

const passOn = ({ headers, key, value }: KafkaMessage) => {
  const input = checked(JSON.parse(String(value)))
  const output = checked(input)
  return { key, value: JSON.stringify(output), headers: { "message-id": `${headers?.["message-id"]}/bench` } }
}

const fail = (error: unknown): void => {
  console.error(error)
  process.exit(1)
}

const passBatchOn = async ({ batch, heartbeat, resolveOffset }: EachBatchPayload): Promise<void> => {
  await producer.send({ topic: OUTPUT_TOPIC, acks: -1, messages: batch.messages.map(passOn) })
  resolveOffset(batch.lastOffset())
  const offset = String(BigInt(batch.lastOffset()) + 1n)
  await consumer.commitOffsets([{ topic: batch.topic, partition: batch.partition, offset }])
  await heartbeat()
}

/** A consumer that disconnects meanwhile commits no more. */
const atWork = new Set<Promise<void>>()

process.on("SIGTERM", () => {
  Promise.all(atWork)
    .then(() => consumer.disconnect())
    .then(() => producer.disconnect())
    .then(() => process.exit(0), fail)
})

await producer.connect()
await consumer.connect()
await consumer.subscribe({ topic: INPUT_TOPIC })
await consumer.run({
  autoCommit: false,
  partitionsConsumedConcurrently: 4,
  eachBatchAutoResolve: false,
  eachBatch: async (payload) => {
    const passed = passBatchOn(payload)
    atWork.add(passed)
    await passed.finally(() => atWork.delete(passed))
  }
})
