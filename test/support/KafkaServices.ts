/** The product's Kafka layer on the server of the tests, by way of the product's own settings. */
import { Effect, Layer } from "effect"
import { type Admin, Kafka, logLevel } from "kafkajs"
import { inject } from "vitest"
import { Broker, type Subscription } from "../../src/domain/ports/Broker.ts"
import * as Environment from "../../src/layers/config/Environment.ts"
import * as Settings from "../../src/layers/config/Settings.ts"
import * as Internals from "../../src/layers/kafka/Internals.ts"
import * as KafkaBroker from "../../src/layers/kafka/KafkaBroker.ts"
import { consumerGroupOf, retryTopicOf } from "../../src/layers/kafka/KafkaNames.ts"
import { KafkaTopics } from "../../src/layers/kafka/KafkaTopics.ts"

const megabyte = 2 ** 20

export interface KafkaOptions {
  readonly maxBytesInFlight?: number
  readonly env?: Readonly<Record<string, string>>
}

/** Kafka as the product has it; topics have three partitions. */
export const kafka = ({ env = {}, maxBytesInFlight = 64 * megabyte }: KafkaOptions = {}) =>
  Layer.unwrap(
    Effect.map(
      Settings.load(
        Settings.kafkaSettings,
        Environment.make({ KAFKA_BROKERS: inject("kafkaBrokers"), KAFKA_PARTITIONS: "3", ...env })
      ),
      (settings) => KafkaBroker.layer({ ...settings, maxBytesInFlight })
    )
  )

/** The same with topics made as they are named: what `--mode=migrate` does before, in the life of a user. */
export const kafkaMakingTopics = (options: KafkaOptions = {}): Layer.Layer<Broker | KafkaTopics, unknown> =>
  Layer.effect(
    Broker,
    Effect.gen(function* () {
      const broker = yield* Broker
      const topics = yield* KafkaTopics
      const make = (...names: ReadonlyArray<string>) =>
        topics.make(names.map((topic) => ({ topic, keeps: "messages" as const })))
      return Broker.of({
        ...broker,
        subscribe: (topic, group) =>
          Effect.andThen(make(topic, retryTopicOf({ _tag: "Topic", topic, group })), broker.subscribe(topic, group)),
        publishToTopics: (messages) =>
          Effect.andThen(make(...messages.map(({ topic }) => topic)), broker.publishToTopics(messages))
      })
    })
  ).pipe(Layer.provideMerge(kafka(options)))

/** A client of the tests' own. */
export const client = (brokers = inject("kafkaBrokers")) => {
  Internals.silenceTimer()
  return new Kafka({ brokers: brokers.split(","), logLevel: logLevel.NOTHING })
}

/** Uses an admin client of the tests' own. */
export const admin = <A>(use: (client: Admin) => Promise<A>, brokers?: string): Effect.Effect<A> =>
  Effect.promise(async () => {
    const connected = client(brokers).admin()
    await connected.connect()
    return use(connected).finally(() => connected.disconnect())
  })

/** What a group has not committed of its topic and its retries. */
export const lag = (subscription: Subscription): Effect.Effect<number> =>
  admin(async (connected) => {
    if (subscription._tag === "Queue") throw new Error("Kafka has no queues")
    const topics = [subscription.topic, retryTopicOf(subscription)]
    const committed = await connected.fetchOffsets({ groupId: consumerGroupOf(subscription), topics })
    let sum = 0
    for (const { partitions, topic } of committed) {
      const ends = await connected.fetchTopicOffsets(topic)
      for (const { offset, partition } of partitions) {
        const end = ends.find((one) => one.partition === partition)
        sum += Number(end?.high ?? 0) - Math.max(Number(offset), Number(end?.low ?? 0))
      }
    }
    return sum
  })
