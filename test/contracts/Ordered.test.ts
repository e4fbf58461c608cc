/** The contract of ordered subscriptions on every broker, and what RabbitMQ has of its own. */
import { assert, describe, it, layer } from "@effect/vitest"
import { Array as Arr, Effect, Layer } from "effect"
import { inject } from "vitest"
import { partitionOf } from "../../src/domain/Partition.ts"
import { Broker, queueOf } from "../../src/domain/ports/Broker.ts"
import * as EmbeddedBroker from "../../src/layers/embedded/EmbeddedBroker.ts"
import * as MemoryBroker from "../../src/layers/memory/MemoryBroker.ts"
import { withChannel } from "../support/Amqp.ts"
import { newDatabase } from "../support/Databases.ts"
import { kafkaMakingTopics } from "../support/KafkaServices.ts"
import { bytes } from "../support/Messages.ts"
import { rabbitMq } from "../support/Services.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as TcpProxy from "../support/servers/TcpProxy.ts"
import { content, newTopic } from "../support/TopicSteps.ts"
import {
  consume,
  consumeAgainAndAgain,
  keys,
  makeWitness,
  publishKeyed,
  subscribeOrdered,
  suite
} from "./OrderedContract.ts"

const embedded = Layer.unwrap(Effect.map(newDatabase, (url) => EmbeddedBroker.layerOn({ url })))

suite("memory", MemoryBroker.layer)
suite("RabbitMQ", rabbitMq())
suite("RabbitMQ, quorum queues", rabbitMq({ queueType: "quorum" }))
suite("embedded", embedded)
suite("Kafka", kafkaMakingTopics(), { byNature: true })

for (const queueType of ["classic", "quorum"] as const) {
  // Two messages are beyond the limit of a partition.
  layer(rabbitMq({ queueType, maxBytesInFlight: 300 }), { excludeTestServices: true })(
    `Ordered groups of RabbitMQ with large messages (${queueType})`,
    (it) => {
      it.effect("come in order, a few at a time", () =>
        Effect.gen(function* () {
          const topic = yield* newTopic
          const subscription = yield* subscribeOrdered(topic)
          const witness = makeWitness()
          const broker = yield* Broker
          const large = keys.flatMap((key) =>
            Arr.makeBy(6, (index) => ({
              ...content({ body: bytes(`${key}:${index}:${"x".repeat(90)}`), headers: { key } }),
              topic
            }))
          )
          yield* broker.publishToTopics(large)
          for (const consumer of [1, 2]) yield* consume(subscription, witness, consumer)
          yield* witness.sawAll(keys, 6)
        })
      )
    }
  )
}

layer(rabbitMq(), { excludeTestServices: true })("Ordered groups of RabbitMQ", (it) => {
  it.effect("are durable queues with a single active consumer, one for the group and one for each partition", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const { name } = yield* queueOf("RabbitMQ", yield* subscribeOrdered(topic))
      yield* subscribeOrdered(topic)
      for (const queue of [name, ...[0, 1, 2].map((partition) => `${name}.${partition}`)]) {
        const declared = { durable: true, arguments: { "x-single-active-consumer": true } }
        yield* withChannel((channel) => channel.assertQueue(queue, declared))
      }
    })
  )

  it.effect("count what waits in all their queues", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const subscription = yield* subscribeOrdered(topic)
      const { name } = yield* queueOf("RabbitMQ", subscription)
      const broker = yield* Broker
      yield* publishKeyed(topic, keys, 2)
      const message = { ...content(), queue: `${name}.1` }
      yield* broker.publish([message, message])
      yield* eventually(
        Effect.map(broker.backlog(subscription), (backlog) => assert.strictEqual(backlog, keys.length * 2 + 2)),
        { deadline: "20 seconds" }
      )
    })
  )

  it.effect("refuse another number of partitions, and say what to do", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      yield* subscribeOrdered(topic, "g", 4)
      for (const partitions of [3, 5, 1, 8]) {
        const error = yield* Effect.flip(subscribeOrdered(topic, "g", partitions))
        assert.strictEqual(error.reason._tag, "BrokerRefused")
        assert.include(error.message, `another number of partitions than ${partitions}`)
      }
      yield* subscribeOrdered(topic, "g", 4)
    })
  )

  it.effect("go on making the queues where a process stopped in the midst of it", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const { name } = yield* queueOf("RabbitMQ", yield* subscribeOrdered(topic))
      yield* withChannel((channel) => channel.deleteQueue(`${name}.0`))
      yield* subscribeOrdered(topic)
      yield* withChannel((channel) => channel.checkQueue(`${name}.0`))
    })
  )

  it.effect("refuse a partition's queue that was made otherwise", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      yield* withChannel((channel) => channel.assertQueue(`${topic}.g.1`, { durable: true }))
      const error = yield* Effect.flip(subscribeOrdered(topic))
      assert.strictEqual(error.reason._tag, "BrokerRefused")
      assert.include(error.message, `${topic}.g.1`)
    })
  )
})

describe("Ordered groups of a RabbitMQ", () => {
  it.live("keep the order when connections break again and again, those of the distributor included", () =>
    Effect.gen(function* () {
      const target = new URL(inject("rabbitmqUrl"))
      const proxy = yield* TcpProxy.start({ host: target.hostname, port: Number(target.port) })
      target.port = String(proxy.port)
      const topic = yield* newTopic
      const witness = makeWitness()
      const publisher = yield* Layer.build(rabbitMq())
      const consuming = Effect.gen(function* () {
        const subscription = yield* subscribeOrdered(topic)
        yield* consumeAgainAndAgain(subscription, witness)
      })
      yield* Effect.forkScoped(Effect.provide(consuming, rabbitMq({ url: target.href })), { startImmediately: true })
      yield* Effect.provide(subscribeOrdered(topic), publisher)
      for (const part of Arr.range(0, 3)) {
        yield* Effect.provide(publishKeyed(topic, keys, 30, part * 30), publisher)
        yield* eventually(
          Effect.sync(() => assert.isAtLeast([...witness.seen.values()].flat().length, part * 60)),
          { deadline: "20 seconds", every: "1 millis" }
        )
        yield* proxy.cut
        yield* proxy.heal
      }
      yield* witness.sawAll(keys, 120)
    })
  )
})

describe("The partition of a key", () => {
  it("is its FNV-1a hash, for ever", () => {
    // http://www.isthe.com/chongo/tech/comp/fnv/ lists them
    const hashes = { "": 0x811c9dc5, a: 0xe40c292c, foobar: 0xbf9cf968 }
    for (const [key, hash] of Object.entries(hashes)) assert.strictEqual(partitionOf(key, 1000), hash % 1000)
  })
})
