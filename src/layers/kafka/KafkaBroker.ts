/** The broker port on Kafka, by kafkajs: topics and groups. It has no queues, and says so. */
import { Clock, Context, type Duration, Effect, Layer, Option, Stream } from "effect"
import {
  Broker,
  type BrokerError,
  type Delivery,
  type Settlement,
  type Subscription,
  type TopicMessage
} from "../../domain/ports/Broker.ts"
import { ReplayMarks } from "../../domain/ports/ReplayMarks.ts"
import * as Availability from "../../streams/Availability.ts"
import * as KafkaAdmin from "./KafkaAdmin.ts"
import * as KafkaBrowser from "./KafkaBrowser.ts"
import * as KafkaClient from "./KafkaClient.ts"
import * as KafkaConsumer from "./KafkaConsumer.ts"
import { refused, unroutable } from "./KafkaError.ts"
import { toRecord } from "./KafkaMessage.ts"
import { consumerGroupOf, retryTopicOf, type TopicSubscription } from "./KafkaNames.ts"
import * as KafkaProducer from "./KafkaProducer.ts"
import * as KafkaSubscriptions from "./KafkaSubscriptions.ts"
import * as KafkaTopics from "./KafkaTopics.ts"
import type { Receipt } from "./RecordsInHand.ts"

export interface KafkaOptions extends KafkaClient.ClientOptions, KafkaTopics.TopicOptions {
  /** A member that the broker does not hear of for so long has left. */
  readonly sessionTimeout: Duration.Duration
  readonly handlingTimeout: Duration.Duration
  /** Bodies of one consumer that may be in hand at a time, in bytes. */
  readonly maxBytesInFlight: number
}

const make = Effect.fnUntraced(function* (options: KafkaOptions) {
  const { address } = options
  const availability = Availability.make("Kafka", address)
  const client = yield* KafkaClient.make(options, availability)
  const publish = yield* KafkaProducer.make(client)
  const admin = yield* KafkaAdmin.make(client)
  const topics = KafkaTopics.make(client, options)
  const process = crypto.randomUUID()
  const browser = KafkaBrowser.make(client, topics, Option.getOrUndefined(yield* Effect.serviceOption(ReplayMarks)))

  const noQueues = (doing: string) => Effect.fail(refused(address, `${doing}: Kafka has topics, and no queues`))
  const topicOf = (subscription: Subscription) =>
    subscription._tag === "Topic" ? Effect.succeed(subscription) : noQueues(`queue ${subscription.name}`)

  const subscriptions = KafkaSubscriptions.make(client, topics, publish)
  const consume = (subscription: TopicSubscription, prefetch: number) =>
    Stream.callback<Delivery, BrokerError>((queue) =>
      Effect.gen(function* () {
        const retries = retryTopicOf(subscription)
        const missing = yield* topics.missing([retries])
        const consumed = [subscription.topic, ...(missing.length === 0 ? [retries] : [])]
        const groupId = consumerGroupOf(subscription)
        yield* KafkaConsumer.consume(client, { ...options, process, groupId, topics: consumed, prefetch }, queue)
      })
    )
  const broker = Broker.of({
    kind: "kafka",
    address,
    ensureQueue: (name) => noQueues(`make queue ${name}`),
    deliveries: (subscription, { prefetch }) =>
      Stream.unwrap(Effect.map(topicOf(subscription), (topic) => consume(topic, prefetch))),
    settle: (settlements) => {
      if (!settlements.some(KafkaBrowser.isBrowsed)) return Effect.sync(() => settleConsumed(settlements))
      settleConsumed(settlements.filter((one) => !KafkaBrowser.isBrowsed(one)))
      return browser.settle(settlements.filter(KafkaBrowser.isBrowsed))
    },
    publish: (messages) => (messages.length === 0 ? Effect.void : noQueues(`publish to queue ${messages[0]?.queue}`)),
    subscribe: subscriptions.subscribe,
    publishToTopics: (messages: ReadonlyArray<TopicMessage>) =>
      messages.length === 0
        ? admin.probe
        : Effect.flatMap(Clock.currentTimeMillis, (now) =>
            publish(messages.map((message) => ({ topic: message.topic, record: toRecord(message, now) })))
          ),
    // They are one batch of one partition.
    takesTogether: true,
    deliverLater: (subscription, messages) =>
      Effect.flatMap(topicOf(subscription), (topic) => subscriptions.deliverLater(topic, messages)),
    lookUp: subscriptions.lookUp,
    browse: browser.browse,
    // None is there to be looked at: to whoever asks for its depth it is gone.
    depth: (name) => Effect.fail(unroutable(address, `there is no queue ${name}: Kafka has topics, and no queues`)),
    backlog: (subscription) => Effect.flatMap(topicOf(subscription), admin.lag),
    status: Effect.map(availability.current, (state) => (state === "connected" ? "connected" : "away"))
  })
  return { broker, topics }
})

const settleConsumed = (settlements: ReadonlyArray<Settlement>): void => {
  const byConsumer = Map.groupBy(settlements, ({ delivery }) => (delivery.receipt as Receipt).records)
  for (const [records, own] of byConsumer) records.settle(own)
}

/**
 * Connects when first used; a broker that is away at start is no error here. Marks what was browsed and is done where it
 * finds `ReplayMarks` around it, and refuses to settle it elsewhere.
 */
export const layer = (options: KafkaOptions): Layer.Layer<Broker | KafkaTopics.KafkaTopics> =>
  Layer.effectContext(
    Effect.map(make(options), ({ broker, topics }) =>
      Context.make(Broker, broker).pipe(Context.add(KafkaTopics.KafkaTopics, topics))
    )
  )
