/** What topics of Kafka are, and what they are not: made on demand, kept for a while, looked at by no group. */
import { assert, layer } from "@effect/vitest"
import { Array as Arr, Clock, Effect, Layer, Stream } from "effect"
import { Broker } from "../../src/domain/ports/Broker.ts"
import { KafkaTopics } from "../../src/layers/kafka/KafkaTopics.ts"
import { admin, kafka, lag } from "../support/KafkaServices.ts"
import { message, take } from "../support/Messages.ts"
import { content, deliverLater, newTopic, publish, subscribe, TopicDepth, takes } from "../support/TopicSteps.ts"

/** A group on a topic that was made for it, as `--mode=migrate` does. */
const madeGroup = Effect.gen(function* () {
  const topic = yield* newTopic
  yield* KafkaTopics.use(({ make }) =>
    make([
      { topic, keeps: "messages" },
      { topic: `${topic}.g.retry`, keeps: "retries" }
    ])
  )
  return { topic, group: yield* subscribe(topic, "g") }
})

layer(Layer.merge(kafka(), Layer.succeed(TopicDepth, lag)), { excludeTestServices: true })("Topics of Kafka", (it) => {
  it.effect("are never made by accident: who misses one names it and the command", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const broker = yield* Broker
      const { make, missing } = yield* KafkaTopics
      const attempts = [
        broker.subscribe(topic, "g"),
        broker.subscribe(topic, undefined),
        publish(topic, ["one"]),
        deliverLater({ _tag: "Topic", topic, group: "g" }, content(), 10)
      ]
      for (const attempt of attempts) {
        const error = yield* Effect.flip(attempt)
        assert.strictEqual(error.reason._tag, "BrokerRefused")
        assert.include(error.message, topic)
        assert.include(error.message, "--mode=migrate --topics")
      }
      const names = [topic, `${topic}.g.retry`]
      assert.deepStrictEqual(yield* missing(names), names)
      const wanted = names.map((name) => ({ topic: name, keeps: "retries" as const }))
      assert.deepStrictEqual(yield* make([...wanted, ...wanted]), names)
      assert.deepStrictEqual(yield* make(wanted), [])
      yield* broker.subscribe(topic, "g")
    })
  )

  it.effect("are made with partitions, and keep dead letters for ever and retries longer than they wait", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const { make } = yield* KafkaTopics
      yield* make([
        { topic, keeps: "messages" },
        { topic: `${topic}.dlq`, keeps: "deadLetters" },
        { topic: `${topic}.g.retry`, keeps: "retries" }
      ])
      const names = [topic, `${topic}.dlq`, `${topic}.g.retry`]
      const found = yield* admin(async (client) => {
        const { topics } = await client.fetchTopicMetadata({ topics: names })
        const { resources } = await client.describeConfigs({
          includeSynonyms: false,
          resources: names.map((name) => ({ type: 2, name, configNames: ["retention.ms"] }))
        })
        return names.map((name) => ({
          partitions: topics.find((one) => one.name === name)?.partitions.length,
          retention: resources.find((one) => one.resourceName === name)?.configEntries[0]?.configValue
        }))
      })
      assert.deepStrictEqual(found, [
        { partitions: 3, retention: String(7 * 86_400_000) },
        { partitions: 3, retention: "-1" },
        { partitions: 3, retention: String(31 * 86_400_000) }
      ])
    })
  )

  it.effect("are no queues, which is said where one is asked for", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      const queue = { _tag: "Queue", name: "payments" } as const
      for (const attempt of [
        broker.ensureQueue("payments"),
        broker.publish([message("payments")]),
        Stream.runDrain(broker.deliveries(queue, { prefetch: 1 })),
        deliverLater(queue, content(), 0)
      ]) {
        const error = yield* Effect.flip(Effect.asVoid(attempt))
        assert.strictEqual(error.reason._tag, "BrokerRefused")
        assert.match(error.message, /payments.*no queues/)
      }
      assert.strictEqual((yield* Effect.flip(broker.depth("payments"))).reason._tag, "Unroutable")
    })
  )

  it.effect("are looked at by no group: page by page, oldest of all partitions first, and no further than now", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      const topic = yield* newTopic
      yield* KafkaTopics.use((topics) => topics.make([{ topic, keeps: "deadLetters" }]))
      // Several pages in each partition, in turns, a millisecond apart.
      const count = 60
      const begun = yield* Clock.currentTimeMillis
      const letters = Arr.makeBy(count, (n) => ({
        ...content({ id: `${n}`, body: new Uint8Array(30_000), headers: { key: `${n}` } }),
        publishedAtMillis: begun + n,
        topic
      }))
      yield* broker.publishToTopics(letters)
      const { messages, waiting } = yield* broker.browse(topic)
      yield* publish(topic, ["later"])
      const shown = yield* Stream.runCollect(messages)
      assert.strictEqual(waiting, count)
      assert.deepStrictEqual(
        shown.map(({ id }) => id),
        letters.map(({ id }) => id)
      )
      const { groups } = yield* admin((client) => client.listGroups())
      assert.notInclude(
        groups.map(({ groupId }) => groupId),
        "nobody"
      )
      const [delivery] = shown
      assert.isDefined(delivery)
      const error = yield* Effect.flip(broker.settle([{ delivery, outcome: "done" }]))
      assert.match(error.message, /mark what was put back: there is no database/)
    })
  )

  it.effect("take a message that is too large from nobody, and those of others beside it", () =>
    Effect.gen(function* () {
      const { group, topic } = yield* madeGroup
      const broker = yield* Broker
      const large = { ...content({ body: new Uint8Array(1_100_000) }), topic }
      const [tooLarge] = yield* Effect.all(
        [Effect.exit(Effect.flip(broker.publishToTopics([large]))), publish(topic, ["one"]), publish(topic, ["two"])],
        { concurrency: "unbounded" }
      )
      assert.isTrue(tooLarge._tag === "Success" && tooLarge.value.reason._tag === "MessageRefused")
      yield* takes(group, ["one", "two"])
    })
  )

  it.effect("take a key's messages of one call together, or none of them", () =>
    Effect.gen(function* () {
      const { group, topic } = yield* madeGroup
      const broker = yield* Broker
      const ofKey = (id: string, size: number) => ({
        ...content({ id, body: new Uint8Array(size), headers: { key: "one key" } }),
        topic
      })
      assert.isTrue(broker.takesTogether)
      yield* Effect.flip(broker.publishToTopics([ofKey("before", 1), ofKey("large", 1_100_000), ofKey("after", 1)]))
      yield* broker.publishToTopics([ofKey("first", 1), ofKey("second", 1)])
      assert.deepStrictEqual(
        (yield* take(group, 2)).map(({ id }) => id),
        ["first", "second"]
      )
    })
  )

  it.effect("give a key the partition that Java's client gives it", () =>
    Effect.gen(function* () {
      const { group, topic } = yield* madeGroup
      const broker = yield* Broker
      // what org.apache.kafka.common.utils.Utils.toPositive(murmur2(key)) % 3 gives
      const expected = { "21": -973932308, foobar: -790332482, "a-little-bit-long-string": -985981536 }
      yield* broker.publishToTopics(
        Object.keys(expected).map((key) => ({ ...content({ headers: { key }, id: "" }), topic }))
      )
      const found = (yield* take(group, 3)).map(({ headers, id }) => [headers.key, Number(id?.split("-").at(-2))])
      assert.deepStrictEqual(
        Object.fromEntries(found),
        Object.fromEntries(Object.entries(expected).map(([key, hash]) => [key, (hash & 0x7fffffff) % 3]))
      )
    })
  )
})
