/** The contract of plain groups on every broker. */
import { Effect, Layer } from "effect"
import { inject } from "vitest"
import * as EmbeddedBroker from "../../src/layers/embedded/EmbeddedBroker.ts"
import * as MemoryBroker from "../../src/layers/memory/MemoryBroker.ts"
import { newDatabase } from "../support/Databases.ts"
import { kafkaMakingTopics, lag } from "../support/KafkaServices.ts"
import { rabbitMq } from "../support/Services.ts"
import { TopicDepth } from "../support/TopicSteps.ts"
import { suite } from "./GroupContract.ts"

const embedded = Layer.unwrap(Effect.map(newDatabase, (url) => EmbeddedBroker.layerOn({ url })))

const ofKafka = (env: Readonly<Record<string, string>> = {}) =>
  Layer.merge(kafkaMakingTopics({ env }), Layer.succeed(TopicDepth, lag))

suite("memory", MemoryBroker.layer, { impatient: MemoryBroker.layer, silenceMillis: 0, keepsKeysTogether: false })

for (const queueType of ["classic", "quorum"] as const) {
  suite(`RabbitMQ, ${queueType} queues`, rabbitMq({ queueType }), {
    impatient: rabbitMq({ queueType, url: `${inject("rabbitmqUrl")}?heartbeat=2` }),
    // two heartbeats that did not come
    silenceMillis: 4_000,
    keepsKeysTogether: false
  })
}

suite("embedded", embedded, {
  impatient: embedded,
  // the life of a claim that is not renewed
  silenceMillis: 6_000,
  keepsKeysTogether: false
})

suite("Kafka", ofKafka(), {
  impatient: ofKafka({ KAFKA_SESSION_TIMEOUT_SECONDS: "3" }),
  silenceMillis: 3_000,
  keepsKeysTogether: true
})
