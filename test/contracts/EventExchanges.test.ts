/** An event that names an exchange in its headers: published there where the broker has exchanges, as it is elsewhere. */
import { randomUUID } from "node:crypto"
import { assert, layer as withLayer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { inject } from "vitest"
import { exchangeHeader, type PendingEvent } from "../../src/domain/OutboxEvent.ts"
import * as EmbeddedBroker from "../../src/layers/embedded/EmbeddedBroker.ts"
import * as MemoryBroker from "../../src/layers/memory/MemoryBroker.ts"
import * as OutboxPublisher from "../../src/streams/OutboxPublisher.ts"
import { newDatabase } from "../support/Databases.ts"
import { kafkaMakingTopics } from "../support/KafkaServices.ts"
import { take, text } from "../support/Messages.ts"
import * as Queues from "../support/Queues.ts"
import { rabbitMq } from "../support/Services.ts"
import { newTopic, subscribe } from "../support/TopicSteps.ts"

const embedded = Layer.unwrap(Effect.map(newDatabase, (url) => EmbeddedBroker.layerOn({ url })))

const eventFor = (topic: string, exchange: string): PendingEvent => ({
  id: randomUUID(),
  slot: 0,
  topic,
  key: "k",
  payload: '{"n":1}',
  headers: { [exchangeHeader]: exchange, other: "kept" },
  attempts: 0,
  createdAtMillis: Date.now(),
  ageMillis: 0
})

const publish = Effect.fnUntraced(function* (event: PendingEvent) {
  const progress: OutboxPublisher.Progress = { published: [], refused: [] }
  const publishAll = yield* OutboxPublisher.make(1)
  yield* publishAll([event], progress, Effect.succeed(true))
  assert.deepStrictEqual(progress, { published: [event], refused: [] })
})

for (const [name, layer] of [
  ["memory", MemoryBroker.layer],
  ["embedded", embedded],
  ["Kafka", kafkaMakingTopics()]
] as const)
  withLayer(layer, { excludeTestServices: true })(`An event that names an exchange (${name})`, (it) => {
    it.effect("goes to its topic, without that header", () =>
      Effect.gen(function* () {
        const topic = yield* newTopic
        const group = yield* subscribe(topic, "g")
        yield* publish(eventFor(topic, `exchange-${randomUUID()}`))
        const [taken] = yield* take(group, 1)
        assert.strictEqual(text(taken?.body ?? new Uint8Array()), '{"n":1}')
        assert.deepInclude(taken?.headers, { key: "k", other: "kept" })
        assert.notProperty(taken?.headers, exchangeHeader)
      })
    )
  })

withLayer(rabbitMq(), { excludeTestServices: true })("An event that names an exchange (RabbitMQ)", (it) => {
  it.effect("goes to that exchange, made where it is missing, without that header, and not to the topics'", () =>
    Effect.gen(function* () {
      const url = inject("rabbitmqUrl")
      const topic = yield* newTopic
      const exchange = `exchange-${randomUUID()}`
      const others = yield* subscribe(topic, "g")
      yield* publish(eventFor(topic, exchange))
      // as what made the exchange made it: another kind would be refused
      yield* Queues.bind(url, { exchange, topic, queue: `${exchange}.q` })
      yield* publish(eventFor(topic, exchange))
      const [message, ...more] = yield* Queues.takeAll(url, `${exchange}.q`)
      assert.strictEqual(message?.content.toString(), '{"n":1}')
      assert.deepInclude(message?.properties.headers, { key: "k", other: "kept" })
      assert.notProperty(message?.properties.headers, exchangeHeader)
      assert.deepStrictEqual(more, [])
      assert.deepStrictEqual(yield* Queues.takeAll(url, others._tag === "Queue" ? others.name : ""), [])
      yield* Queues.remove(url, `${exchange}.q`)
    })
  )
})
