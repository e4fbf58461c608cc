/** The measurements' topics on a Kafka of our own, seen through a bare driver. */
import { randomUUID } from "node:crypto"
import { Effect } from "effect"
import { type Admin, Kafka, logLevel, type Producer } from "kafkajs"
import * as KafkaServer from "../../test/support/servers/Kafka.ts"
import { attempt } from "../BenchmarkError.ts"
import { message } from "./orders.ts"
import { group, type Testbed, type Topics } from "./Testbed.ts"

const publishAtOnce = 5_000
const partitions = 4

/** Started, and stopped with the scope. */
export const start = Effect.gen(function* () {
  const { address } = yield* KafkaServer.start
  const kafka = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING })
  const admin = yield* connected(kafka.admin())
  const producer = yield* connected(kafka.producer())
  const testbed: Testbed = {
    title: "Kafka 4.1.1 by kafkajs",
    env: { BROKER: "kafka", KAFKA_BROKERS: address },
    fill: (messages) => fill({ kafka, admin, producer }, messages)
  }
  return testbed
})

const connected = <A extends { readonly connect: () => Promise<void>; readonly disconnect: () => Promise<void> }>(
  client: A
) =>
  Effect.acquireRelease(
    Effect.as(
      attempt("connect to Kafka", () => client.connect()),
      client
    ),
    () => Effect.ignore(attempt("disconnect", () => client.disconnect()))
  )

interface Clients {
  readonly kafka: Kafka
  readonly admin: Admin
  readonly producer: Producer
}

const fill = Effect.fnUntraced(function* ({ admin, kafka, producer }: Clients, messages: number) {
  const topic = `bench.${randomUUID()}`
  const [input, output] = [`${topic}.in`, `${topic}.out`]
  const groupId = `${input}.${group}`
  const topics = [input, output, `${input}.dlq`, `${groupId}.retry`]
  yield* Effect.acquireRelease(
    attempt("make the topics", () =>
      admin.createTopics({ topics: topics.map((topic) => ({ topic, numPartitions: partitions })) })
    ),
    () => Effect.ignore(attempt("delete the topics", () => admin.deleteTopics({ topics })))
  )
  // The group begins where the topic does: what waits for it is all for it.
  yield* attempt("begin the group", () =>
    admin.setOffsets({ groupId, topic: input, partitions: Array.from({ length: partitions }, beginning) })
  )
  yield* attempt(`publish ${messages} messages`, () => publish(producer, input, messages))
  const outputs = Effect.map(
    attempt("look at the outputs", () => admin.fetchTopicOffsets(output)),
    (offsets) => offsets.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0)
  )
  const measured: Topics = {
    env: { INPUT_TOPIC: input, OUTPUT_TOPIC: output, GROUP_ID: groupId },
    outputs,
    pauseMillis: 20,
    unsettled: attempt("look at what is committed", () => uncommitted(admin, groupId, input)),
    takeOutputs: Effect.flatMap(outputs, (count) => attempt("take the outputs", () => takeAll(kafka, output, count)))
  }
  return measured
})

const beginning = (_: unknown, partition: number) => ({ partition, offset: "0" })

const publish = async (producer: Producer, topic: string, messages: number): Promise<void> => {
  for (let from = 0; from < messages; from += publishAtOnce) {
    const batch = Array.from({ length: Math.min(publishAtOnce, messages - from) }, (_, index) => message(from + index))
    await producer.send({
      topic,
      acks: -1,
      messages: batch.map(({ id, key, text }) => ({ key, value: text, headers: { "message-id": id } }))
    })
  }
}

const uncommitted = async (admin: Admin, groupId: string, topic: string): Promise<number> => {
  const ends = await admin.fetchTopicOffsets(topic)
  const [committed] = await admin.fetchOffsets({ groupId, topics: [topic] })
  const offsetOf = (partition: number) => committed?.partitions.find((one) => one.partition === partition)?.offset
  return ends.reduce((left, { high, partition }) => left + Number(high) - Math.max(0, Number(offsetOf(partition))), 0)
}

const takeAll = async (kafka: Kafka, topic: string, count: number): Promise<ReadonlyArray<string>> => {
  const consumer = kafka.consumer({ groupId: `check-${randomUUID()}` })
  const bodies: Array<string> = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise<void>((resolve, reject) => {
    const eachBatch = async ({
      batch
    }: {
      readonly batch: { readonly messages: ReadonlyArray<{ value: Buffer | null }> }
    }) => {
      for (const { value } of batch.messages) bodies.push(String(value))
      if (bodies.length >= count) resolve()
    }
    consumer.run({ autoCommit: false, eachBatch }).catch(reject)
  })
  await consumer.disconnect()
  return bodies
}
