/** What a consumer group of Kafka promises while members come, go, and take their time. */
import { assert, layer } from "@effect/vitest"
import { Array as Arr, Deferred, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { Broker, type Delivery, type Subscription } from "../../src/domain/ports/Broker.ts"
import { admin, kafkaMakingTopics, lag } from "../support/KafkaServices.ts"
import { bytes, text, withDeliveries } from "../support/Messages.ts"
import { numbers, settle } from "../support/QueueSteps.ts"
import { eventually } from "../support/servers/eventually.ts"
import { content, depthIs, newGroup, publish, TopicDepth, takes } from "../support/TopicSteps.ts"

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

const stateOf = (groupId: string) =>
  admin((client) => client.describeGroups([groupId]).then(({ groups }) => groups[0]?.state))

const committedOf = (groupId: string, topic: string) =>
  admin((client) => client.fetchOffsets({ groupId, topics: [topic] }).then(([found]) => found?.partitions ?? []))

const keyed = (topic: string, key: string, number: number) => ({
  ...content({ body: bytes(String(number)), id: `${key}-${number}`, headers: { key } }),
  topic
})

/** Shorter, a member that a busy machine leaves without a turn would be taken for dead. */
const shortSession = kafkaMakingTopics({ env: { KAFKA_SESSION_TIMEOUT_SECONDS: "3" } })

layer(withTopics, { excludeTestServices: true })("A group of Kafka", (it) => {
  it.effect("commits no further than its lowest unfinished record, and repeats none that is finished", () =>
    Effect.gen(function* () {
      const { group, topic } = yield* newGroup
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

  it.effect("is left for good by a member that is stopped while it joins, and waits for no session to end", () =>
    Effect.gen(function* () {
      const { group, topic } = yield* newGroup
      const settled = yield* Deferred.make<void>()
      const handled: Array<string> = []
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* consuming(group, (one) =>
            Effect.andThen(
              Effect.sync(() => void handled.push(text(one.body))),
              Effect.andThen(Deferred.await(settled), settle([one]))
            )
          )
          yield* publish(topic, ["held"])
          yield* countIs(handled, 1)
          // A rebalance waits for what is in hand: whoever joins meanwhile is kept waiting.
          const joining = yield* Scope.make()
          yield* Scope.provide(
            consuming(group, () => Effect.void),
            joining
          )
          yield* eventually(
            Effect.map(stateOf(`${topic}.g`), (state) => assert.strictEqual(state, "PreparingRebalance")),
            deadline
          )
          const leaving = yield* Effect.forkScoped(Scope.close(joining, Exit.void), { startImmediately: true })
          yield* Deferred.succeed(settled, undefined)
          yield* Fiber.join(leaving)
          yield* publish(topic, numbers(30))
          // Less than a session, of which a member that has died is given the whole.
          yield* countIs(handled, 31)
        })
      )
    })
  )

  it.effect("drops what it has in hand of a partition that another member gets, and settling it does nothing", () =>
    Effect.gen(function* () {
      const { group, topic } = yield* newGroup
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
            { deadline: "100 seconds" }
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
      const { group, topic } = yield* newGroup
      yield* publish(topic, ["stuck"])
      const broker = yield* Broker
      const error = yield* Effect.flip(Stream.runDrain(broker.deliveries(group, { prefetch: 1 })))
      assert.isTrue(error.isRetryable)
      assert.include(error.message, "KAFKA_HANDLING_TIMEOUT_SECONDS")
    }).pipe(Effect.provide(kafkaMakingTopics({ env: { KAFKA_HANDLING_TIMEOUT_SECONDS: "2" } })))
  )

  it.effect("has no more in hand than the limit of bytes and the one that passes it, and gets all in the end", () =>
    Effect.gen(function* () {
      const { group, topic } = yield* newGroup
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
