/** What is asked of the brokers now and then: over one connection that is kept. */
import { Effect, type Scope } from "effect"
import type { Admin } from "kafkajs"
import type { BrokerError } from "../../domain/ports/Broker.ts"
import type { KafkaClient } from "./KafkaClient.ts"
import { consumerGroupOf, type TopicSubscription } from "./KafkaNames.ts"

export interface KafkaAdmin {
  /** Whether the brokers answer. */
  readonly probe: Effect.Effect<void, BrokerError>
  /** What a group has not committed of its topic. */
  readonly lag: (subscription: TopicSubscription) => Effect.Effect<number, BrokerError>
}

/** Connects when first used, and again after a failure. */
export const make = Effect.fnUntraced(function* (
  client: KafkaClient
): Effect.fn.Return<KafkaAdmin, never, Scope.Scope> {
  let current: Admin | undefined
  const retire = Effect.suspend(() => {
    const admin = current
    current = undefined
    return admin === undefined ? Effect.void : Effect.ignore(Effect.tryPromise(() => admin.disconnect()))
  })
  yield* Effect.addFinalizer(() => retire)
  const ask = <A>(doing: string, question: (admin: Admin) => Promise<A>) =>
    client
      .attempt(doing, async () => {
        current ??= client.kafka.admin()
        await current.connect()
        return question(current)
      })
      .pipe(Effect.onError(() => retire))
  return {
    probe: Effect.asVoid(ask("connect", (admin) => admin.describeCluster())),
    lag: (subscription) =>
      ask(`look at the lag of ${consumerGroupOf(subscription)}`, (admin) => lagOf(admin, subscription))
  }
})

const lagOf = async (admin: Admin, subscription: TopicSubscription): Promise<number> => {
  const { topic } = subscription
  const [committed] = await admin.fetchOffsets({ groupId: consumerGroupOf(subscription), topics: [topic] })
  const ends = await admin.fetchTopicOffsets(topic)
  const offsets = new Map(committed?.partitions.map(({ offset, partition }) => [partition, Number(offset)]))
  // A group begins with the first message of a partition that it has committed nothing of.
  const lags = ends.map(
    ({ high, low, partition }) => Number(high) - Math.max(Number(low), offsets.get(partition) ?? -1)
  )
  return lags.reduce((sum, lag) => sum + Math.max(0, lag), 0)
}
