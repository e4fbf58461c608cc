/** Names at the broker: a group of ours consumes one topic and the retries that wait for it. */
import type { Subscription } from "../../domain/ports/Broker.ts"

/** What this broker knows to consume. */
export type TopicSubscription = Extract<Subscription, { readonly _tag: "Topic" }>

/**
 * The consumer group, as Kafka knows it. One for each topic: workers of one group on several topics do not disturb each
 * other when one of them joins or leaves.
 */
export const consumerGroupOf = ({ group, topic }: TopicSubscription): string =>
  group === undefined ? topic : `${topic}.${group}`

/** Where messages wait that this subscription alone gets later. */
export const retryTopicOf = (subscription: TopicSubscription): string => `${consumerGroupOf(subscription)}.retry`
