/** The measurements' topics on a Kafka of our own. */
import { randomUUID } from "node:crypto"
import { Effect } from "effect"
import type { Admin, Producer } from "kafkajs"
import { attempt } from "../BenchmarkError.ts"
import * as Kafka from "../kafka.ts"
import { message } from "./orders.ts"
import { group, type Testbed, type Topics } from "./Testbed.ts"

const publishAtOnce = 5_000
const partitions = 4

/** Started, and stopped with the scope. */
export const start = Effect.gen(function* () {
  const clients = yield* Kafka.start
  const testbed: Testbed = {
    title: Kafka.title,
    env: { BROKER: "kafka", KAFKA_BROKERS: clients.address },
    fill: (messages) => fill(clients, messages)
  }
  return testbed
})

const fill = Effect.fnUntraced(function* (clients: Kafka.Clients, messages: number) {
  const { admin, producer } = clients
  const topic = `bench.${randomUUID()}`
  const [input, output] = [`${topic}.in`, `${topic}.out`]
  const groupId = `${input}.${group}`
  yield* Kafka.makeTopics(clients, [input, output, `${input}.dlq`, `${groupId}.retry`], partitions)
  // The group begins where the topic does: what waits for it is all for it.
  yield* attempt("begin the group", () =>
    admin.setOffsets({ groupId, topic: input, partitions: Array.from({ length: partitions }, beginning) })
  )
  yield* attempt(`publish ${messages} messages`, () => publish(producer, input, messages))
  const measured: Topics = {
    env: { INPUT_TOPIC: input, OUTPUT_TOPIC: output, GROUP_ID: groupId },
    outputs: Kafka.sizeOf(clients, output),
    pauseMillis: 20,
    unsettled: attempt("look at what is committed", () => uncommitted(admin, groupId, input)),
    takeOutputs: Effect.map(Kafka.takeAll(clients, output), (found) => found.map(({ value }) => value))
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
