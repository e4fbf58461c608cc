/** Topics as they are at the broker. Only `make` makes some: a topic that is missing is an error everywhere else. */
import { Context, Effect, Schedule } from "effect"
import type { Admin } from "kafkajs"
import type { BrokerError } from "../../domain/ports/Broker.ts"
import type { KafkaClient } from "./KafkaClient.ts"
import { migrateCommand, refused } from "./KafkaError.ts"

/** What a topic is for, which says how long its messages are kept. */
export interface WantedTopic {
  readonly topic: string
  /** `messages`: as long as the brokers keep messages; `retries`: longer than any delay; `deadLetters`: for ever. */
  readonly keeps: "messages" | "retries" | "deadLetters"
}

/** Looking at topics, and making them. */
export class KafkaTopics extends Context.Service<
  KafkaTopics,
  {
    /** Those that are not there. */
    readonly missing: (topics: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<string>, BrokerError>
    /** Fails, naming them, if some are not there. */
    readonly require: (topics: ReadonlyArray<string>) => Effect.Effect<void, BrokerError>
    /** Makes those that are missing, and gives their names; what exists stays as it is. */
    readonly make: (topics: ReadonlyArray<WantedTopic>) => Effect.Effect<ReadonlyArray<string>, BrokerError>
  }
>()("paystream/layers/kafka/KafkaTopics") {}

export interface TopicOptions {
  /** Of a topic that is made. */
  readonly partitions: number
  /** `undefined`: as many as the brokers think right. */
  readonly replication: number | undefined
}

/** Longer than the longest delay of a retry. */
export const longestDelayMillis = 30 * 86_400_000
const retriesKeptMillis = longestDelayMillis + 86_400_000

const retentionOf = ({ keeps }: WantedTopic): ReadonlyArray<{ readonly name: string; readonly value: string }> => {
  if (keeps === "messages") return []
  return [{ name: "retention.ms", value: keeps === "retries" ? String(retriesKeptMillis) : "-1" }]
}

/** Uses a connection of its own. */
const withAdmin = <A>(client: KafkaClient, doing: string, use: (admin: Admin) => Promise<A>) =>
  client.attempt(doing, async () => {
    const admin = client.kafka.admin()
    try {
      await admin.connect()
      return await use(admin)
    } finally {
      await admin.disconnect()
    }
  })

const existing = (client: KafkaClient) => withAdmin(client, "list topics", (admin) => admin.listTopics())

/** A new topic is not known to all brokers at once, nor does it have its leaders. */
const known = (client: KafkaClient, names: ReadonlyArray<string>) =>
  withAdmin(client, `look at the topics ${names.join(", ")}`, (admin) =>
    admin.fetchTopicMetadata({ topics: [...names] })
  ).pipe(
    Effect.retry({ times: 50, schedule: Schedule.spaced("100 millis"), while: (error) => !error.isRetryable }),
    Effect.asVoid
  )

/** Topics by this client. */
export const make = (client: KafkaClient, options: TopicOptions): KafkaTopics["Service"] => {
  const missing = (topics: ReadonlyArray<string>) =>
    Effect.map(existing(client), (there) => [...new Set(topics)].filter((topic) => !there.includes(topic)))
  return {
    missing,
    require: (topics) =>
      Effect.flatMap(missing(topics), (names) => (names.length === 0 ? Effect.void : refuse(client.address, names))),
    make: (wanted) =>
      Effect.flatMap(missing(wanted.map(({ topic }) => topic)), (names) => {
        if (names.length === 0) return Effect.succeed([])
        const topics = wanted
          .filter(
            ({ topic }, index) => names.includes(topic) && wanted.findIndex((one) => one.topic === topic) === index
          )
          .map((one) => ({
            topic: one.topic,
            numPartitions: options.partitions,
            ...(options.replication === undefined ? {} : { replicationFactor: options.replication }),
            configEntries: [...retentionOf(one)]
          }))
        // Somebody who makes them at the same time is no trouble: the answer is `false` then, and they are there.
        const made = withAdmin(client, `make the topics ${names.join(", ")}`, (admin) =>
          admin.createTopics({ topics, waitForLeaders: false })
        )
        return made.pipe(Effect.andThen(known(client, names)), Effect.as(names))
      })
  }
}

const refuse = (address: string, names: ReadonlyArray<string>): Effect.Effect<never, BrokerError> => {
  const them = names.length > 1 ? "them" : "it"
  return Effect.fail(refused(address, `there is no topic ${names.join(", ")}; make ${them} with ${migrateCommand}`))
}
