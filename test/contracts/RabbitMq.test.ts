/** What RabbitMQ has and the port does not name: arguments of queues, deletion, policies, limits, refusals. */
import { randomUUID } from "node:crypto"
import { gzipSync } from "node:zlib"
import { assert, describe, it, layer } from "@effect/vitest"
import { Duration, Effect, Fiber, Logger, Result, Stream } from "effect"
import { inject } from "vitest"
import { Broker, type BrokerError, type Delivery } from "../../src/domain/ports/Broker.ts"
import { readDeadLetter } from "../../src/domain/ReadDeadLetter.ts"
import { withChannel } from "../support/Amqp.ts"
import { letterOf } from "../support/DeadLetters.ts"
import { bytes, message, take, text, withDeliveries } from "../support/Messages.ts"
import { newQueue, publish, settle } from "../support/QueueSteps.ts"
import { rabbitMq } from "../support/Services.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as TcpProxy from "../support/servers/TcpProxy.ts"

const deadline = { deadline: "10 seconds" } as const

const waiting = (queue: string) => withChannel(async (channel) => (await channel.checkQueue(queue)).messageCount)

const waitingIs = (queue: string, expected: number) =>
  eventually(
    Effect.map(waiting(queue), (count) => assert.strictEqual(count, expected)),
    deadline
  )

const ensureQueue = (name: string) => Effect.flatMap(Broker, (broker) => broker.ensureQueue(name))

const consuming = (queue: string, prefetch = 10) =>
  Stream.unwrap(Effect.map(Broker, (broker) => broker.deliveries({ _tag: "Queue", name: queue }, { prefetch })))

const reasonOf = (error: BrokerError) => error.reason._tag

layer(rabbitMq(), { excludeTestServices: true })("Queues of RabbitMQ", (it) => {
  it.effect("are durable and without arguments where they were missing, as other programs declare them", () =>
    Effect.gen(function* () {
      const queue = yield* newQueue
      yield* withChannel((channel) => channel.assertQueue(queue, { durable: true }))
    })
  )

  it.effect("are used as they are where they exist, whatever their arguments", () =>
    Effect.gen(function* () {
      const queues = [
        { durable: true, maxLength: 5 },
        { durable: false },
        { durable: true, arguments: { "x-queue-type": "quorum" } }
      ]
      for (const options of queues) {
        const name = `foreign-${randomUUID()}`
        yield* withChannel((channel) => channel.assertQueue(name, options))
        yield* ensureQueue(name)
        yield* publish(name, ["one"])
        assert.strictEqual((yield* take(name, 1)).length, 1)
        yield* withChannel((channel) => channel.assertQueue(name, options))
      }
    })
  )

  it.effect("end their consumer with an error worth trying again when they are deleted, and can be made anew", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const queue = yield* newQueue
        const arrived: Array<Delivery> = []
        const consumer = yield* Effect.forkScoped(
          Effect.flip(Stream.runForEach(consuming(queue), (one) => Effect.sync(() => void arrived.push(one))))
        )
        yield* publish(queue, ["unsettled"])
        yield* eventually(
          Effect.sync(() => assert.strictEqual(arrived.length, 1)),
          deadline
        )
        yield* withChannel((channel) => channel.deleteQueue(queue))
        const error = yield* Fiber.join(consumer)
        assert.deepStrictEqual([reasonOf(error), error.isRetryable], ["BrokerAway", true])
        yield* settle(arrived)
        yield* ensureQueue(queue)
        yield* publish(queue, ["again"])
        assert.strictEqual((yield* take(queue, 1)).length, 1)
      })
    )
  )

  it.effect("of type quorum that give out a message again and again are warned about, once", () =>
    Effect.gen(function* () {
      const queue = `foreign-${randomUUID()}`
      const options = { durable: true, arguments: { "x-queue-type": "quorum" } }
      yield* withChannel((channel) => channel.assertQueue(queue, options))
      yield* publish(queue, ["comes back"])
      const warnings: Array<string> = []
      const logger = Logger.make(
        ({ logLevel, message }) => void (logLevel === "Warn" && warnings.push(String(message)))
      )
      const attempts = yield* consuming(queue, 1).pipe(
        Stream.take(12),
        Stream.tap((delivery) => settle([delivery], delivery.attempt < 12 ? "return" : "done")),
        Stream.map(({ attempt }) => attempt),
        Stream.runCollect,
        Effect.provide(Logger.layer([logger]))
      )
      assert.deepStrictEqual([...attempts], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
      assert.deepStrictEqual(warnings, [
        `queue ${queue} gives out a message for the 10th time; check its x-delivery-limit: at the limit the broker drops it`
      ])
    })
  )

  it.effect("follow their own dead-letter policy for what is refused, and for nothing else", () =>
    Effect.gen(function* () {
      const dead = yield* newQueue
      const queue = `foreign-${randomUUID()}`
      const options = { durable: true, deadLetterExchange: "", deadLetterRoutingKey: dead }
      yield* withChannel((channel) => channel.assertQueue(queue, options))
      yield* publish(queue, ["done", "reject", "done", "return"])
      const broker = yield* Broker
      yield* withDeliveries(queue, 4, (all) =>
        broker.settle(all.map((delivery) => ({ delivery, outcome: text(delivery.body) as "done" })))
      )
      yield* waitingIs(dead, 1)
      assert.deepStrictEqual(
        (yield* take(dead, 1)).map(({ body }) => text(body)),
        ["reject"]
      )
      assert.deepStrictEqual(
        (yield* take(queue, 1)).map(({ body }) => text(body)),
        ["return"]
      )
      yield* waitingIs(dead, 0)
    })
  )
})

layer(rabbitMq(), { excludeTestServices: true })("Messages of RabbitMQ", (it) => {
  it.effect("are persistent, and go to no other queue that their headers name", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      const [queue, stranger] = [yield* newQueue, yield* newQueue]
      yield* broker.publish([message(queue, { headers: { CC: [stranger], BCC: [stranger], other: "kept" } })])
      const got = yield* withChannel((channel) => channel.get(queue, { noAck: true }))
      assert.isTrue(got !== false && got.properties.deliveryMode === 2 && got.properties.headers?.other === "kept")
      assert.strictEqual(yield* waiting(stranger), 0)
    })
  )

  it.effect("are understood with a time in seconds, as the protocol has it, and in milliseconds", () =>
    Effect.gen(function* () {
      const queue = yield* newQueue
      yield* withChannel(async (channel) => {
        for (const timestamp of [1_700_000_000, 1_700_000_000_000])
          channel.sendToQueue(queue, Buffer.from("{}"), { timestamp })
      })
      const times = (yield* take(queue, 2)).map(({ publishedAtMillis }) => publishedAtMillis)
      assert.deepStrictEqual(times, [1_700_000_000_000, 1_700_000_000_000])
    })
  )

  it.effect("keep the publisher's properties when a delivery is published again, at once or later", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      const [queue, next] = [yield* newQueue, yield* newQueue]
      const texts = { contentEncoding: "gzip", type: "payment", appId: "shop", replyTo: "answers" }
      const kept = { ...texts, correlationId: "theirs", priority: 3, timestamp: 1_700_000_000_123 }
      const properties = { ...kept, expiration: "60000" }
      yield* withChannel(async (channel) => void channel.sendToQueue(queue, Buffer.from("{}"), properties))
      const [first] = yield* take(queue, 1)
      assert.isDefined(first)
      yield* broker.deliverLater({ _tag: "Queue", name: queue }, [{ ...first, delay: Duration.millis(100) }])
      const [later] = yield* take(queue, 1)
      assert.isDefined(later)
      yield* broker.publish([{ ...later, queue: next }])
      const got = yield* withChannel((channel) => channel.get(next, { noAck: true }))
      assert.isTrue(got !== false)
      if (got === false) return
      assert.deepInclude(got.properties, { ...kept, expiration: undefined })
      assert.strictEqual(got.properties.headers?.["x-original-expiration"], "60000")
    })
  )

  it.effect("keep the publisher's properties through a dead letter of a topic worker, and get them back", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      const topic = `topic-${randomUUID()}`
      const [group, dead] = [yield* broker.subscribe(topic, "g"), yield* broker.subscribe(`${topic}.dlq`, undefined)]
      const kept = {
        contentType: "application/json",
        correlationId: "theirs",
        type: "payment",
        appId: "shop",
        replyTo: "answers",
        priority: 3,
        timestamp: 1_700_000_000
      }
      const body = gzipSync('{"amount": 1.00}')
      const properties = { ...kept, contentEncoding: "gzip", headers: { theirs: "kept" } }
      yield* withChannel(async (channel) => void channel.sendToQueue(`${topic}.g`, body, properties))
      const [taken] = yield* take(group, 1)
      assert.isDefined(taken)
      yield* broker.publishToTopics([letterOf(taken, topic)])
      const [letter] = yield* take(dead, 1)
      assert.isDefined(letter)
      // the letter itself is JSON, and not encoded
      assert.deepInclude(letter.properties, { ...kept, contentEncoding: undefined })
      const { original } = Result.getOrThrow(readDeadLetter(letter))
      yield* broker.deliverLater(group, [{ ...original, delay: Duration.zero }])
      const got = yield* withChannel((channel) => channel.get(`${topic}.g`, { noAck: true }))
      assert.isTrue(got !== false)
      if (got === false) return
      assert.isTrue(got.content.equals(body))
      assert.deepInclude(got.properties, { ...kept, contentEncoding: "gzip" })
      assert.strictEqual(got.properties.headers?.theirs, "kept")
    })
  )

  it.effect("come back to who publishes them to no queue, with a correlation id of their own too", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      const queue = yield* newQueue
      const properties = { correlationId: "the same" }
      const gone = message(`none-${randomUUID()}`, { properties })
      const error = yield* Effect.flip(broker.publish([message(queue, { properties }), gone]))
      assert.strictEqual(reasonOf(error), "Unroutable")
      assert.include(error.message, gone.queue)
      const [taken] = yield* take(queue, 1)
      assert.deepStrictEqual([taken?.properties?.correlationId, taken?.headers], ["the same", {}])
    })
  )

  it.effect("keep headers of every kind on their way through a delivery and a publish", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      const [queue, next] = [yield* newQueue, yield* newQueue]
      const headers = {
        long: 2 ** 40,
        bytes: Buffer.from([0, 255]),
        time: { "!": "timestamp", value: 1_700_000_000 },
        table: { list: [1, "a", { deep: true }] },
        "x-death": [{ count: 1, reason: "rejected" }]
      }
      yield* withChannel(async (channel) => void channel.sendToQueue(queue, Buffer.from("{}"), { headers }))
      const [taken] = yield* take(queue, 1)
      yield* broker.publish([message(next, { headers: taken?.headers ?? {} })])
      assert.deepStrictEqual((yield* take(next, 1))[0]?.headers, taken?.headers)
      assert.deepStrictEqual(Object.keys(taken?.headers ?? {}).sort(), Object.keys(headers).sort())
    })
  )
})

const megabyte = 2 ** 20

layer(rabbitMq({ maxBytesInFlight: megabyte }), { excludeTestServices: true })("Large messages of RabbitMQ", (it) => {
  it.effect("are in hand up to the limit of bytes and the one that passes it, and all come in the end", () =>
    Effect.gen(function* () {
      const queue = yield* newQueue
      const broker = yield* Broker
      const size = 300_000
      const sent = Array.from({ length: 40 }, (_, index) =>
        message(queue, { id: String(index), body: new Uint8Array(size) })
      )
      yield* broker.publish(sent)
      const seen = new Set<string | undefined>()
      const inHand: Array<Delivery> = []
      let most = 0
      yield* consuming(queue, 40).pipe(
        Stream.takeUntil(({ id }) => seen.add(id).size === sent.length),
        Stream.runForEachArray((some) => {
          inHand.push(...some)
          most = Math.max(most, inHand.length * size)
          // Fewer than half of the limit stay: the next come only then.
          return settle(inHand.splice(0, Math.max(1, inHand.length - 1)))
        })
      )
      assert.strictEqual(seen.size, sent.length)
      assert.isAtMost(most, megabyte + size)
    })
  )
})

describe("RabbitMQ", () => {
  const changed = (change: (url: URL) => void): string => {
    const url = new URL(inject("rabbitmqUrl"))
    change(url)
    return url.href
  }

  for (const [what, url] of [
    [
      "a wrong password",
      changed((url) => {
        url.password = "wrong"
      })
    ],
    [
      "a missing virtual host",
      changed((url) => {
        url.pathname = "/missing"
      })
    ]
  ] as const) {
    it.live(`refuses ${what} with an error that trying again will not mend, and that shows no password`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(ensureQueue("any"))
        assert.deepStrictEqual([reasonOf(error), error.isRetryable], ["BrokerRefused", false])
        assert.notInclude(error.message, new URL(url).password)
      }).pipe(Effect.provide(rabbitMq({ url })))
    )
  }

  it.live("ends a consumer with an error when the connection is cut, and can be used again when it heals", () =>
    Effect.gen(function* () {
      const target = new URL(inject("rabbitmqUrl"))
      const proxy = yield* TcpProxy.start({ host: target.hostname, port: Number(target.port) })
      const url = changed((url) => {
        url.port = String(proxy.port)
      })
      yield* Effect.gen(function* () {
        const queue = yield* newQueue
        yield* publish(queue, ["unsettled"])
        const error = yield* Effect.flip(Stream.runForEach(consuming(queue), () => proxy.cut))
        assert.strictEqual(reasonOf(error), "BrokerAway")
        const broker = yield* Broker
        yield* eventually(
          Effect.map(broker.status, (status) => assert.strictEqual(status, "away")),
          deadline
        )
        yield* proxy.heal
        const [again] = yield* eventually(take(queue, 1), deadline)
        assert.deepStrictEqual([text(again?.body ?? bytes("")), again?.attempt], ["unsettled", 2])
        assert.strictEqual(yield* broker.status, "connected")
      }).pipe(Effect.provide(rabbitMq({ url })))
    })
  )
})
