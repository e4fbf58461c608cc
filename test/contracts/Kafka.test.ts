/** What Kafka has and the port does not name: consumer groups that rebalance, commits, retention, security. */
import { readFile } from "node:fs/promises"
import { assert, describe, it, layer } from "@effect/vitest"
import { Array as Arr, Clock, Effect, Fiber, Layer, Scope, Stream } from "effect"
import { Broker, type Delivery, type Subscription } from "../../src/domain/ports/Broker.ts"
import { KafkaTopics } from "../../src/layers/kafka/KafkaTopics.ts"
import { admin, kafka, kafkaMakingTopics, lag } from "../support/KafkaServices.ts"
import { bytes, message, take, text, withDeliveries } from "../support/Messages.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as Kafka from "../support/servers/Kafka.ts"
import { settle } from "./BrokerContract.ts"
import { content, deliverLater, depthIs, newTopic, publish, subscribe, TopicDepth, takes } from "./TopicContract.ts"

const deadline = { deadline: "20 seconds" } as const

const withTopics = Layer.merge(kafkaMakingTopics(), Layer.succeed(TopicDepth, lag))

/** A consumer that does to each delivery what the test says, as long as the scope is open. */
const consuming = <E, R>(
  subscription: Subscription,
  each: (delivery: Delivery) => Effect.Effect<unknown, E, R>,
  prefetch = 20
) =>
  Broker.use((broker) =>
    Effect.forkScoped(
      broker
        .deliveries(subscription, { prefetch })
        .pipe(Stream.mapEffect(each, { concurrency: prefetch, unordered: true }), Stream.runDrain)
    )
  )

const countIs = (list: ReadonlyArray<unknown>, count: number) =>
  eventually(
    Effect.sync(() => assert.strictEqual(list.length, count)),
    deadline
  )

const committedOf = (groupId: string, topic: string) =>
  admin((client) => client.fetchOffsets({ groupId, topics: [topic] }).then(([found]) => found?.partitions ?? []))

const numbers = (count: number): ReadonlyArray<string> => Arr.makeBy(count, String)

const keyed = (topic: string, key: string, number: number) => ({
  ...content({ body: bytes(String(number)), id: `${key}-${number}`, headers: { key } }),
  topic
})

layer(withTopics, { excludeTestServices: true })("A group of Kafka", (it) => {
  it.effect("commits no further than its lowest unfinished record, and repeats none that is finished", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const group = yield* subscribe(topic, "g")
      const broker = yield* Broker
      yield* broker.publishToTopics(Arr.makeBy(20, (index) => keyed(topic, "one key", index)))
      yield* withDeliveries(group, 20, (all) =>
        Effect.gen(function* () {
          yield* settle(all.filter((_, index) => index !== 3 && index !== 7))
          // a commit is made on a timer: what is below goes first, and nothing goes past
          yield* eventually(
            Effect.map(committedOf(`${topic}.g`, topic), (found) =>
              assert.include(
                found.map(({ offset }) => offset),
                "3"
              )
            ),
            deadline
          )
        })
      )
      const again = yield* withDeliveries(group, 2, Effect.succeed)
      assert.deepStrictEqual(
        again.map(({ body }) => text(body)),
        ["3", "7"]
      )
      assert.deepStrictEqual(
        again.map(({ attempt }) => attempt),
        [1, 1]
      )
      yield* takes(group, ["3", "7"])
    })
  )

  it.effect("keeps its partitions while a handler takes longer than the session, and delivers nothing twice", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const group = yield* subscribe(topic, "g")
      yield* publish(topic, numbers(10))
      const seen: Array<Delivery> = []
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* consuming(
            group,
            (one) =>
              Effect.andThen(
                Effect.sync(() => void seen.push(one)),
                Effect.sleep("3 seconds").pipe(Effect.andThen(settle([one])))
              ),
            10
          )
          yield* countIs(seen, 10)
          yield* depthIs(group, 0)
        })
      )
      assert.deepStrictEqual(seen.map(({ body }) => text(body)).sort(), [...numbers(10)].sort())
    }).pipe(Effect.provide(Layer.merge(shortSession, Layer.succeed(TopicDepth, lag))))
  )

  it.effect("loses nothing and turns no key round while members join and leave under load", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const group = yield* subscribe(topic, "g")
      const broker = yield* Broker
      const [keys, each] = [12, 100]
      const handled: Array<string> = []
      const inWork = new Set<string>()
      const overlaps: Array<string> = []
      const handle = (one: Delivery) =>
        Effect.gen(function* () {
          const key = String(one.headers.key)
          if (one.isRevoked?.() === true) return
          if (inWork.has(key)) overlaps.push(String(one.id))
          inWork.add(key)
          yield* Effect.ensuring(
            Effect.sleep("4 millis"),
            Effect.sync(() => inWork.delete(key))
          )
          handled.push(String(one.id))
          yield* settle([one])
        })
      // one at a time for each member: what overlaps then, overlaps across members
      const member = Effect.gen(function* () {
        const scope = yield* Scope.make()
        const fiber = yield* Scope.provide(consuming(group, handle, 1), scope)
        return { fiber, leave: Scope.close(scope, yield* Effect.exit(Effect.void)) }
      })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const members = [yield* member]
          const publishing = yield* Effect.forkScoped(
            Effect.forEach(Arr.range(0, each - 1), (number) =>
              Effect.andThen(
                broker.publishToTopics(Arr.makeBy(keys, (key) => keyed(topic, `key-${key}`, number))),
                Effect.sleep("40 millis")
              )
            )
          )
          for (const joined of [1, 2]) {
            yield* eventually(
              Effect.sync(() => assert.isAbove(handled.length, joined * 150)),
              deadline
            )
            members.push(yield* member)
          }
          yield* eventually(
            Effect.sync(() => assert.isAbove(handled.length, 600)),
            deadline
          )
          yield* members[0]?.leave ?? Effect.void
          yield* Fiber.join(publishing)
          yield* eventually(
            Effect.sync(() => assert.strictEqual(new Set(handled).size, keys * each)),
            deadline
          )
          yield* depthIs(group, 0)
          for (const { leave } of members.slice(1)) yield* leave
        })
      )
      assert.deepStrictEqual(overlaps, [])
      for (const key of Arr.makeBy(keys, (index) => `key-${index}-`)) {
        const own = [...new Set(handled)].filter((id) => id.startsWith(key))
        assert.deepStrictEqual(
          own,
          Arr.makeBy(each, (number) => `${key}${number}`)
        )
      }
      // A rebalance waits for what is in hand: repeats are for crashes.
      assert.strictEqual(handled.length, keys * each)
    })
  )

  it.effect("drops what it has in hand of a partition that another member gets, and settling it does nothing", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const group = yield* subscribe(topic, "g")
      yield* publish(topic, numbers(30))
      const [first, second]: [Array<Delivery>, Array<Delivery>] = [[], []]
      const lost = () => first.filter(({ isRevoked }) => isRevoked?.() === true).map(({ body }) => text(body))
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* consuming(group, (one) => Effect.sync(() => void first.push(one)), 30)
          yield* countIs(first, 30)
          yield* consuming(
            group,
            (one) =>
              Effect.andThen(
                Effect.sync(() => void second.push(one)),
                settle([one])
              ),
            30
          )
          yield* eventually(
            Effect.sync(() => {
              assert.isAbove(lost().length, 0)
              assert.strictEqual(second.length, lost().length)
            }),
            { deadline: "28 seconds" }
          )
          yield* settle(first)
          yield* depthIs(group, 0)
          assert.deepStrictEqual(second.map(({ body }) => text(body)).sort(), lost().sort())
        })
      )
    }).pipe(Effect.provide(Layer.merge(shortSession, Layer.succeed(TopicDepth, lag))))
  )

  it.effect("is told of a message that is in hand for too long, and ends", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const group = yield* subscribe(topic, "g")
      yield* publish(topic, ["stuck"])
      const broker = yield* Broker
      const error = yield* Effect.flip(Stream.runDrain(broker.deliveries(group, { prefetch: 1 })))
      assert.isTrue(error.isRetryable)
      assert.include(error.message, "KAFKA_HANDLING_TIMEOUT_SECONDS")
    }).pipe(Effect.provide(kafkaMakingTopics({ env: { KAFKA_HANDLING_TIMEOUT_SECONDS: "2" } })))
  )

  it.effect("has no more in hand than the limit of bytes and the one that passes it, and gets all in the end", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const group = yield* subscribe(topic, "g")
      const broker = yield* Broker
      const size = 100_000
      yield* Effect.forEach(Arr.range(0, 29), (index) =>
        broker.publishToTopics([{ ...content({ id: String(index), body: new Uint8Array(size) }), topic }])
      )
      const seen = new Set<string | undefined>()
      const inHand: Array<Delivery> = []
      let most = 0
      yield* broker.deliveries(group, { prefetch: 30 }).pipe(
        Stream.takeUntil(({ id }) => seen.add(id).size === 30),
        Stream.runForEachArray((some) => {
          inHand.push(...some)
          most = Math.max(most, inHand.length * size)
          return settle(inHand.splice(0, Math.max(1, inHand.length - 1)))
        })
      )
      assert.isAtMost(most, 300_000 + size)
    }).pipe(Effect.provide(kafkaMakingTopics({ maxBytesInFlight: 300_000 })))
  )
})

const shortSession = kafkaMakingTopics({ env: { KAFKA_SESSION_TIMEOUT_SECONDS: "1" } })

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
      const topic = yield* newTopic
      yield* KafkaTopics.use(({ make }) =>
        make([
          { topic, keeps: "messages" },
          { topic: `${topic}.g.retry`, keeps: "retries" }
        ])
      )
      const group = yield* subscribe(topic, "g")
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

  it.effect("give a key the partition that Java's client gives it", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      yield* KafkaTopics.use(({ make }) =>
        make([
          { topic, keeps: "messages" },
          { topic: `${topic}.g.retry`, keeps: "retries" }
        ])
      )
      const group = yield* subscribe(topic, "g")
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

describe.concurrent("A Kafka", () => {
  it.live(
    "loses no message and no retry when it is killed and comes back, and ends its consumers with an error worth trying again",
    () =>
      Effect.gen(function* () {
        const server = yield* Kafka.startOwn
        yield* Effect.gen(function* () {
          const topic = yield* newTopic
          const group = yield* subscribe(topic, "g")
          const broker = yield* Broker
          yield* publish(topic, ["before"])
          yield* deliverLater(group, content({ body: bytes("later") }), "500 millis")
          const consumer = yield* Effect.forkScoped(
            Effect.flip(Stream.runDrain(broker.deliveries(group, { prefetch: 5 })))
          )
          // by itself: who publishes nothing wants to know as well
          yield* broker.publishToTopics([])
          yield* server.kill
          const error = yield* Fiber.join(consumer)
          assert.strictEqual(error.reason._tag, "BrokerAway")
          assert.strictEqual(yield* broker.status, "away")
          for (const attempt of [publish(topic, ["lost"]), broker.publishToTopics([])]) {
            assert.strictEqual((yield* Effect.flip(attempt)).reason._tag, "BrokerAway")
          }
          yield* server.start
          yield* eventually(broker.publishToTopics([]), deadline)
          assert.strictEqual(yield* broker.status, "connected")
          yield* eventually(publish(topic, ["after"]), deadline)
          const taken = yield* eventually(take(group, 3), deadline)
          assert.deepStrictEqual(taken.map(({ body }) => text(body)).sort(), ["after", "before", "later"])
          assert.strictEqual(yield* broker.status, "connected")
        }).pipe(
          Effect.provide(
            kafkaMakingTopics({ env: { KAFKA_BROKERS: server.address, KAFKA_SESSION_TIMEOUT_SECONDS: "2" } })
          )
        )
      }),
    90_000
  )

  it.live(
    "asks who is there: PLAIN, SCRAM and TLS let in who is known, and refuse anybody else without showing a secret",
    () =>
      Effect.gen(function* () {
        const { certificates, password, sasl, tls, user } = yield* Kafka.startSecure
        const file = (path: string) => Effect.promise(() => readFile(path, "utf8"))
        const login = (mechanism: string, secret = password) => ({
          KAFKA_BROKERS: sasl,
          KAFKA_SASL_MECHANISM: mechanism,
          KAFKA_SASL_USERNAME: user,
          KAFKA_SASL_PASSWORD: secret
        })
        const withAuthority = { KAFKA_BROKERS: tls, KAFKA_SSL_CA: yield* file(certificates.authorityFile) }
        const withCertificate = {
          ...withAuthority,
          KAFKA_SSL_CERT: yield* file(certificates.clientCertificateFile),
          KAFKA_SSL_KEY: yield* file(certificates.clientKeyFile)
        }
        const passage = Effect.gen(function* () {
          const topic = yield* newTopic
          const group = yield* subscribe(topic, "g")
          yield* publish(topic, ["one"])
          assert.strictEqual((yield* take(group, 1)).length, 1)
        })
        const welcome = [login("plain"), login("scram-sha-256"), login("scram-sha-512"), withAuthority, withCertificate]
        yield* Effect.forEach(welcome, (env) => Effect.provide(passage, kafkaMakingTopics({ env })), {
          concurrency: "unbounded"
        })
        const strangers = [
          login("plain", "wr0ng"),
          login("scram-sha-512", "wr0ng"),
          { KAFKA_BROKERS: tls, KAFKA_SSL: "true" }
        ]
        for (const env of strangers) {
          const error = yield* Effect.flip(
            Effect.provide(
              Broker.use((one) => one.subscribe("t", "g")),
              kafka({ env })
            )
          )
          assert.isTrue(error._tag === "BrokerError" && !error.isRetryable, error.message)
          assert.match(error.message, /check KAFKA_S/)
          assert.notInclude(error.message, "wr0ng")
        }
      }),
    90_000
  )
})
