/** What becomes of messages on RabbitMQ: their properties and headers, where they go, and how many bytes are in hand. */
import { randomUUID } from "node:crypto"
import { gzipSync } from "node:zlib"
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Result, Stream } from "effect"
import { Broker, type Delivery } from "../../src/domain/ports/Broker.ts"
import { readDeadLetter } from "../../src/domain/ReadDeadLetter.ts"
import { withChannel } from "../support/Amqp.ts"
import { letterOf } from "../support/DeadLetters.ts"
import { message, take } from "../support/Messages.ts"
import { consuming, newQueue, settle } from "../support/QueueSteps.ts"
import { rabbitMq } from "../support/Services.ts"

layer(rabbitMq(), { excludeTestServices: true })("Messages of RabbitMQ", (it) => {
  it.effect("are persistent, and go to no other queue that their headers name", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      const [queue, stranger] = [yield* newQueue, yield* newQueue]
      yield* broker.publish([message(queue, { headers: { CC: [stranger], BCC: [stranger], other: "kept" } })])
      const got = yield* withChannel((channel) => channel.get(queue, { noAck: true }))
      assert.isTrue(got !== false && got.properties.deliveryMode === 2 && got.properties.headers?.other === "kept")
      assert.strictEqual(yield* broker.depth(stranger), 0)
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
      assert.strictEqual(error.reason._tag, "Unroutable")
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
          // The first stays until the end. It is fewer than half of the limit: the next come only then.
          return settle(inHand.splice(1))
        })
      )
      assert.strictEqual(seen.size, sent.length)
      assert.isAtMost(most, megabyte + size)
    })
  )
})
