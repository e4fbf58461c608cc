/** A Kafka of our own, seen through a bare driver. */
import { randomUUID } from "node:crypto"
import { Effect } from "effect"
import { type Admin, Kafka, logLevel, type Producer } from "kafkajs"
import * as KafkaServer from "../test/support/servers/Kafka.ts"
import { attempt } from "./BenchmarkError.ts"

export interface Clients {
  readonly address: string
  readonly kafka: Kafka
  readonly admin: Admin
  readonly producer: Producer
}

/** What it is, and what it is asked with. */
export const title = "Kafka 4.1.1 by kafkajs"

/** Started, and stopped with the scope. */
export const start = Effect.gen(function* () {
  const { address } = yield* KafkaServer.start
  const kafka = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING })
  const clients: Clients = {
    address,
    kafka,
    admin: yield* connected(kafka.admin()),
    producer: yield* connected(kafka.producer())
  }
  return clients
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

/** Fresh topics, gone with the scope. */
export const makeTopics = ({ admin }: Clients, topics: ReadonlyArray<string>, numPartitions: number) =>
  Effect.acquireRelease(
    attempt("make the topics", () => admin.createTopics({ topics: topics.map((topic) => ({ topic, numPartitions })) })),
    () => Effect.ignore(attempt("delete the topics", () => admin.deleteTopics({ topics: [...topics] })))
  )

/** How many messages a topic has. */
export const sizeOf = ({ admin }: Clients, topic: string) =>
  Effect.map(
    attempt("look at a topic", () => admin.fetchTopicOffsets(topic)),
    (offsets) => offsets.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0)
  )

export interface Message {
  readonly key: string
  readonly value: string
}

/** All messages of a topic, in the order in which a consumer gets them. */
export const takeAll = (clients: Clients, topic: string) =>
  Effect.flatMap(sizeOf(clients, topic), (count) =>
    attempt(`take what ${topic} has`, () => (count === 0 ? Promise.resolve([]) : take(clients, topic, count)))
  )

const take = async ({ kafka }: Clients, topic: string, count: number): Promise<ReadonlyArray<Message>> => {
  const consumer = kafka.consumer({ groupId: `check-${randomUUID()}` })
  const taken: Array<Message> = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await new Promise<void>((resolve, reject) => {
    const eachBatch = async ({ batch }: EachBatch) => {
      for (const { key, value } of batch.messages) taken.push({ key: String(key), value: String(value) })
      if (taken.length >= count) resolve()
    }
    consumer.run({ autoCommit: false, eachBatch }).catch(reject)
  })
  await consumer.disconnect()
  return taken
}

interface EachBatch {
  readonly batch: { readonly messages: ReadonlyArray<{ readonly key: Buffer | null; readonly value: Buffer | null }> }
}
