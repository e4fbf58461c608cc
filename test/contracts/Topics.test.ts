/** The contract of topics on every broker, and what RabbitMQ has of its own. */
import { randomUUID } from "node:crypto"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer, Metric } from "effect"
import { inject } from "vitest"
import { Broker } from "../../src/domain/ports/Broker.ts"
import * as Environment from "../../src/layers/config/Environment.ts"
import * as Settings from "../../src/layers/config/Settings.ts"
import * as EmbeddedBroker from "../../src/layers/embedded/EmbeddedBroker.ts"
import * as MemoryBroker from "../../src/layers/memory/MemoryBroker.ts"
import * as RabbitMqBroker from "../../src/layers/rabbitmq/RabbitMqBroker.ts"
import { withChannel } from "../support/Amqp.ts"
import { newDatabase } from "../support/Databases.ts"
import { kafkaMakingTopics, lag } from "../support/KafkaServices.ts"
import { bytes, take } from "../support/Messages.ts"
import { rabbitMq } from "../support/Services.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as RabbitMq from "../support/servers/RabbitMq.ts"
import * as TcpProxy from "../support/servers/TcpProxy.ts"
import {
  content,
  deliverLater,
  depthIs,
  newTopic,
  publish,
  subscribeQueue as subscribe,
  TopicDepth,
  takes
} from "../support/TopicSteps.ts"
import { suite } from "./TopicContract.ts"

const embedded = Layer.unwrap(Effect.map(newDatabase, (url) => EmbeddedBroker.layerOn({ url })))

suite("memory", MemoryBroker.layer, { timestampUnitMillis: 1 })
suite("RabbitMQ", rabbitMq(), { timestampUnitMillis: 1000 })
suite("RabbitMQ, quorum queues", rabbitMq({ queueType: "quorum" }), { timestampUnitMillis: 1000 })
suite("embedded", embedded, { timestampUnitMillis: 1 })
suite("Kafka", Layer.merge(kafkaMakingTopics(), Layer.succeed(TopicDepth, lag)), { timestampUnitMillis: 1 })

const deadline = { deadline: "30 seconds" } as const

/** RabbitMQ with an exchange of the test's own. */
const withExchange = (exchange: string, url = inject("rabbitmqUrl")) =>
  Layer.unwrap(
    Effect.map(Settings.load(Settings.rabbitMqSettings, Environment.make({ RABBITMQ_URL: url })), (settings) =>
      RabbitMqBroker.layer({ ...settings, exchange, maxBytesInFlight: 2 ** 20 })
    )
  )

const newExchange = () => `exchange-${randomUUID()}`

const unroutedCount = (topic: string) =>
  Effect.map(Metric.snapshot, (all) =>
    all
      .filter(({ attributes, id }) => id === "paystream_unrouted_total" && attributes?.topic === topic)
      .map(({ state }) => state)
  )

const ownExchange = newExchange()

layer(withExchange(ownExchange), { excludeTestServices: true })("Topics of RabbitMQ", (it) => {
  it.effect("are bound by wildcards too", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const one = yield* subscribe(`${topic}.*.created`, "g")
      const all = yield* subscribe(`${topic}.#`, "g")
      for (const end of ["", ".orders.created", ".orders.eu.created"]) yield* publish(`${topic}${end}`, [end])
      yield* takes(one, [".orders.created"])
      yield* takes(all, ["", ".orders.created", ".orders.eu.created"])
    })
  )

  it.effect("are a durable topic exchange and durable queues, without arguments, as other programs declare them", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const group = yield* subscribe(topic, "g")
      const own = yield* subscribe(topic)
      assert.deepStrictEqual([group.name, own.name], [`${topic}.g`, topic])
      yield* withChannel(async (channel) => {
        await channel.assertExchange(ownExchange, "topic", { durable: true })
        for (const { name } of [group, own]) await channel.assertQueue(name, { durable: true })
        channel.publish(ownExchange, topic, Buffer.from("a stranger's"))
      })
      yield* takes(group, ["a stranger's"])
      yield* takes(own, ["a stranger's"])
    })
  )

  it.effect("keep what nobody is bound to, with headers and topic, and count it", () =>
    Effect.gen(function* () {
      const [heard, unheard] = [yield* newTopic, yield* newTopic]
      const group = yield* subscribe(heard, "g")
      const broker = yield* Broker
      yield* Effect.forEach(
        Array.from({ length: 60 }, (_, index) => index),
        (index) =>
          broker.publishToTopics([
            // The same id and body everywhere: they tell nothing apart.
            { ...content({ id: "same", headers: { index } }), topic: index % 3 === 0 ? unheard : heard }
          ]),
        { concurrency: 20 }
      )
      const kept = yield* take(`${ownExchange}.unrouted`, 20)
      const indexes = kept.map(({ headers }) => Number(headers.index)).sort((a, b) => a - b)
      assert.deepStrictEqual(
        indexes,
        Array.from({ length: 20 }, (_, index) => index * 3)
      )
      assert.isTrue(kept.every(({ headers }) => headers["x-paystream-topic"] === unheard))
      yield* depthIs(group, 40)
      yield* depthIs({ _tag: "Queue", name: `${ownExchange}.unrouted` }, 0)
      assert.deepStrictEqual(yield* unroutedCount(unheard), [{ count: 20, incremental: true }])
    })
  )

  it.effect("send a retry through a durable queue for its delay, rounded up, made again when it is gone", () =>
    Effect.gen(function* () {
      const group = yield* subscribe(yield* newTopic, "g")
      const delayQueue = `${group.name}.retry.400`
      for (const _ of ["made", "used again", "made again"]) {
        yield* deliverLater(group, content({ body: bytes("retry") }), 301)
        yield* takes(group, ["retry"])
      }
      yield* withChannel((channel) => channel.deleteQueue(delayQueue))
      yield* deliverLater(group, content({ body: bytes("retry") }), 400)
      yield* takes(group, ["retry"])
      yield* withChannel((channel) =>
        channel.assertQueue(delayQueue, {
          durable: true,
          arguments: {
            "x-queue-type": "quorum",
            "x-message-ttl": 400,
            "x-expires": 400 + 86_400_000,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": group.name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish"
          }
        })
      )
    })
  )

  it.effect("keep the headers of an earlier death, even one in the group's own queue", () =>
    Effect.gen(function* () {
      const group = yield* subscribe(yield* newTopic, "g")
      const headers = {
        "x-death": [{ queue: group.name, reason: "expired", count: 1, exchange: "", "routing-keys": [group.name] }],
        "x-first-death-queue": group.name,
        "x-first-death-reason": "expired",
        "x-first-death-exchange": ""
      }
      yield* deliverLater(group, content({ headers: { ...headers, "x-delivery-count": 4 } }), 100)
      const [taken] = yield* take(group.name, 1)
      assert.deepStrictEqual(taken?.headers, headers)
      assert.strictEqual(taken?.attempt, 1)
    })
  )

  it.effect("fail for a retry whose group's queue is gone when there is no delay", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(deliverLater({ _tag: "Queue", name: `missing-${randomUUID()}` }, content(), 0))
      assert.strictEqual(error.reason._tag, "Unroutable")
    })
  )
})

describe("Topics of a RabbitMQ", () => {
  it.live("uses an exchange and a queue as they are where they exist", () => {
    const exchange = newExchange()
    return Effect.gen(function* () {
      const topic = yield* newTopic
      yield* withChannel(async (channel) => {
        await channel.assertExchange(exchange, "topic", { durable: false, alternateExchange: "amq.fanout" })
        await channel.assertQueue(`${topic}.g`, { durable: true, maxLength: 5 })
      })
      const group = yield* subscribe(topic, "g")
      yield* publish(topic, ["one"])
      yield* takes(group, ["one"])
    }).pipe(Effect.provide(withExchange(exchange)))
  })

  it.live("makes an exchange that was deleted at the next attempt", () => {
    const exchange = newExchange()
    return Effect.gen(function* () {
      const topic = yield* newTopic
      yield* subscribe(topic, "g")
      yield* withChannel((channel) => channel.deleteExchange(exchange))
      const error = yield* Effect.flip(publish(topic, ["lost its way"]))
      assert.isTrue(error.isRetryable)
      const group = yield* subscribe(topic, "g")
      yield* publish(topic, ["one"])
      yield* takes(group, ["one"])
    }).pipe(Effect.provide(withExchange(exchange)))
  })

  it.live("fails who publishes when the connection is cut, keeps what it confirmed, and serves again after", () =>
    Effect.gen(function* () {
      const target = new URL(inject("rabbitmqUrl"))
      const proxy = yield* TcpProxy.start({ host: target.hostname, port: Number(target.port) })
      target.port = String(proxy.port)
      yield* Effect.gen(function* () {
        const group = yield* subscribe(yield* newTopic, "g")
        yield* deliverLater(group, content({ body: bytes("waits") }), "1 second")
        yield* proxy.cut
        const error = yield* Effect.flip(deliverLater(group, content(), "1 second"))
        assert.strictEqual(error.reason._tag, "BrokerAway")
        yield* proxy.heal
        yield* eventually(deliverLater(group, content({ body: bytes("later") }), "100 millis"), deadline)
        yield* takes(group, ["waits", "later"])
      }).pipe(Effect.provide(withExchange(newExchange(), target.href)))
    })
  )

  it.live(
    "loses no retry that waits when the broker is restarted, or killed",
    () =>
      Effect.gen(function* () {
        const server = yield* RabbitMq.startOwn
        yield* Effect.gen(function* () {
          const group = yield* subscribe(yield* newTopic, "g")
          for (const fail of [server.restart, Effect.andThen(server.kill, server.start)]) {
            const sent = content({ id: "retry", headers: { key: "k" } })
            const start = performance.now()
            yield* deliverLater(group, sent, "2 seconds")
            yield* fail
            const [taken] = yield* eventually(take(group.name, 1), deadline)
            assert.isAtLeast(performance.now() - start, 1_900)
            assert.deepStrictEqual([taken?.id, taken?.headers], ["retry", { key: "k" }])
          }
          const flags = yield* server.ctl("list_feature_flags", "--silent")
          assert.match(flags, /stream_queue\s+enabled/)
        }).pipe(Effect.provide(withExchange(newExchange(), server.url)))
      }),
    120_000
  )

  it.live("publishes for many at a time on one channel", () =>
    Effect.gen(function* () {
      const server = yield* RabbitMq.startOwn
      yield* Effect.gen(function* () {
        const topic = yield* newTopic
        yield* Effect.forEach(Array.from({ length: 100 }), () => publish(topic, ["one"]), { concurrency: 100 })
        const channels = yield* server.ctl("list_channels", "--silent", "confirm")
        assert.strictEqual(channels.split("\n").filter((line) => line.includes("true")).length, 1)
      }).pipe(Effect.provide(withExchange(newExchange(), server.url)))
    })
  )
})
