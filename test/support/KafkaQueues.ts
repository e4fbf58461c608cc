/** Topics of dead letters where tests ask for queues: what is not marked waits. */
import { Effect, Layer, Stream } from "effect"
import { Broker, queueOf } from "../../src/domain/ports/Broker.ts"
import type { ReplayMarks } from "../../src/domain/ports/ReplayMarks.ts"
import { KafkaTopics } from "../../src/layers/kafka/KafkaTopics.ts"
import * as MemoryReplayMarks from "../../src/layers/memory/MemoryReplayMarks.ts"
import { kafka } from "./KafkaServices.ts"

const waitingOf = (broker: Broker["Service"], topic: string) =>
  Effect.scoped(Effect.map(broker.browse(topic), ({ waiting }) => waiting))

/** Kafka with marks, which knows how many dead letters wait. */
export const kafkaWithDepth = (marks: Layer.Layer<ReplayMarks, unknown>): Layer.Layer<Broker, unknown> =>
  Layer.effect(
    Broker,
    Broker.use((broker) => Effect.succeed(Broker.of({ ...broker, depth: (topic) => waitingOf(broker, topic) })))
  ).pipe(Layer.provide(kafka()), Layer.provide(marks))

/**
 * A contract's queues as topics of one partition, which has an order. Whoever takes all takes what a look shows: a mark
 * is there for those who look, and hides nothing from a group.
 */
export const kafkaQueues: Layer.Layer<Broker, unknown> = Layer.effect(
  Broker,
  Effect.gen(function* () {
    const broker = yield* Broker
    const topics = yield* KafkaTopics
    const lookedAt = (topic: string) => Effect.map(broker.browse(topic), ({ messages }) => messages)
    return Broker.of({
      ...broker,
      ensureQueue: (name) => Effect.asVoid(topics.make([{ topic: name, keeps: "deadLetters" }])),
      publish: (messages) =>
        broker.publishToTopics(messages.map(({ queue, ...message }) => ({ ...message, topic: queue }))),
      depth: (name) => waitingOf(broker, name),
      deliverLater: () => Effect.void,
      deliveries: (subscription) =>
        Stream.unwrap(Effect.flatMap(queueOf("Kafka", subscription), ({ name }) => lookedAt(name))).pipe(
          Stream.concat(Stream.never)
        )
    })
  })
).pipe(Layer.provide(kafka({ env: { KAFKA_PARTITIONS: "1" } })), Layer.provide(MemoryReplayMarks.layer))
