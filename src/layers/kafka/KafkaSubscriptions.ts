/** A group's subscription to a topic: where it begins, whether it is there, and what it alone gets later. */
import { Clock, Duration, Effect } from "effect"
import type { BrokerError, DelayedMessage } from "../../domain/ports/Broker.ts"
import type { KafkaClient } from "./KafkaClient.ts"
import { unroutable } from "./KafkaError.ts"
import * as KafkaGroup from "./KafkaGroup.ts"
import { toRecord } from "./KafkaMessage.ts"
import { consumerGroupOf, retryTopicOf, type TopicSubscription } from "./KafkaNames.ts"
import type { Publish } from "./KafkaProducer.ts"
import { type KafkaTopics, longestDelayMillis } from "./KafkaTopics.ts"

/** Subscriptions by this client. */
export const make = (client: KafkaClient, topics: KafkaTopics["Service"], publish: Publish) => {
  const subscribe = (topic: string, group: string | undefined): Effect.Effect<TopicSubscription, BrokerError> => {
    const subscription: TopicSubscription = { _tag: "Topic", topic, group }
    const needed = group === undefined ? [topic] : [topic, retryTopicOf(subscription)]
    const groupId = consumerGroupOf(subscription)
    const begin = client.attempt(`subscribe to ${topic} as ${groupId}`, () =>
      // Dead letters that came before their first consumer are for it, too.
      KafkaGroup.begin(client.kafka, { groupId, topic, from: group === undefined ? "first" : "now" })
    )
    return topics.require(needed).pipe(Effect.andThen(begin), Effect.as(subscription))
  }
  const lookUp = (topic: string, group: string | undefined): Effect.Effect<TopicSubscription, BrokerError> => {
    const subscription: TopicSubscription = { _tag: "Topic", topic, group }
    return Effect.flatMap(topics.missing([topic, retryTopicOf(subscription)]), ([missing]) =>
      missing === undefined
        ? Effect.succeed(subscription)
        : Effect.fail(unroutable(client.address, `there is no topic ${missing}`))
    )
  }
  const deliverLater = Effect.fnUntraced(function* (
    subscription: TopicSubscription,
    messages: ReadonlyArray<DelayedMessage>
  ) {
    const now = yield* Clock.currentTimeMillis
    const topic = retryTopicOf(subscription)
    yield* publish(
      messages.map(({ delay, ...message }) => {
        const millis = Math.min(Duration.toMillis(delay), longestDelayMillis)
        return { topic, record: toRecord(message, now, Math.ceil(now + millis)) }
      })
    )
  })

  return { subscribe, lookUp, deliverLater }
}
