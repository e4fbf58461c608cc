import { randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { Array as Arr, Context, Duration, Effect, Layer } from "effect"
import { Broker, type BrokerError, queueOf, type Subscription } from "../../../src/domain/ports/Broker.ts"
import * as EmbeddedBroker from "../../../src/layers/embedded/EmbeddedBroker.ts"
import { newDatabase, query } from "../../support/Databases.ts"
import { message, take } from "../../support/Messages.ts"

const databases = new Map<string, Effect.Success<typeof newDatabase>>()

const embedded = Layer.unwrap(
  Effect.map(newDatabase, (url) => {
    databases.set("used", url)
    return EmbeddedBroker.layerOn({ url })
  })
)

const sql = (statement: string, parameters: ReadonlyArray<unknown> = []) =>
  Effect.suspend(() => query(databases.get("used") as Effect.Success<typeof newDatabase>, statement, parameters))

/** The broker of another process on the same database, as long as the scope is open. */
const another = Effect.suspend(() => {
  const url = databases.get("used") as Effect.Success<typeof newDatabase>
  return Effect.map(Layer.build(EmbeddedBroker.layerOn({ url })), (context) => Context.get(context, Broker))
})

const newTopic = Effect.sync(() => `topic-${randomUUID()}`)

const publish = (topic: string, ids: ReadonlyArray<string>) =>
  Broker.use(({ publishToTopics }) => publishToTopics(ids.map((id) => ({ ...message("", { id }), topic }))))

const queueFor = (subscribed: Effect.Effect<Subscription, BrokerError>) =>
  Effect.flatMap(subscribed, (subscription) => queueOf("embedded", subscription)).pipe(
    Effect.map(({ name }) => ({ _tag: "Queue", name }) as const)
  )

const subscribe = (topic: string, group?: string) => Broker.use((broker) => queueFor(broker.subscribe(topic, group)))

const idsOf = (subscription: Subscription, count: number) =>
  Effect.map(
    take(subscription, count),
    Arr.map(({ id }) => id)
  )

layer(embedded, { excludeTestServices: true, timeout: "60 seconds" })("Topics of the embedded broker", (it) => {
  it.effect("are fetched in the order in which one process has published, whatever was deleted before", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const group = yield* subscribe(topic, "g")
      for (const round of ["a", "b"]) {
        const ids = Arr.makeBy(2500, (index) => `${round}${index}`)
        yield* publish(topic, ids.slice(0, 2300))
        yield* Effect.forEach(ids.slice(2300), (id) => publish(topic, [id]))
        assert.deepStrictEqual(yield* idsOf(group, ids.length), ids)
        yield* sql("VACUUM paystream_broker.job")
      }
    })
  )

  it.effect("keep what nobody subscribes to", () =>
    Effect.gen(function* () {
      yield* publish(yield* newTopic, ["1"])
      assert.deepStrictEqual(yield* idsOf({ _tag: "Queue", name: "paystream.unrouted" }, 1), ["1"])
    })
  )

  it.effect("reach all groups, or none", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const [one, other] = [yield* subscribe(topic, "one"), yield* subscribe(topic, "other")]
      yield* sql(`ALTER TABLE paystream_broker.job ADD CONSTRAINT refused CHECK (name <> '${other.name}') NOT VALID`)
      const error = yield* Effect.flip(publish(topic, ["lost"]))
      assert.isTrue(error.isRetryable)
      const broker = yield* Broker
      assert.deepStrictEqual([yield* broker.depth(one.name), yield* broker.depth(other.name)], [0, 0])
      yield* sql("ALTER TABLE paystream_broker.job DROP CONSTRAINT refused")
      yield* publish(topic, ["kept"])
      assert.deepStrictEqual([yield* idsOf(one, 1), yield* idsOf(other, 1)], [["kept"], ["kept"]])
    })
  )

  it.effect("are refused for good with a name that no queue can have", () =>
    Effect.gen(function* () {
      const odd = ["two words", "", "quote'", "stär", "a*"]
      for (const topic of odd) {
        const errors = [
          yield* Effect.flip(subscribe(topic)),
          yield* Effect.flip(subscribe(topic, "g")),
          yield* Effect.flip(publish(topic, ["1"]))
        ]
        assert.deepStrictEqual(
          errors.map(({ reason }) => reason._tag),
          ["BrokerRefused", "BrokerRefused", "BrokerRefused"],
          topic
        )
      }
      assert.strictEqual((yield* Effect.flip(subscribe("fine", "not fine"))).reason._tag, "BrokerRefused")
    })
  )

  it.effect("know subscriptions and retries of a process that is gone", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const group = yield* Effect.scoped(
        Effect.gen(function* () {
          const { deliverLater, subscribe } = yield* another
          const made = yield* queueFor(subscribe(topic, "g"))
          yield* deliverLater(made, [{ ...message("", { id: "retry" }), delay: Duration.millis(50) }])
          return made
        })
      )
      yield* publish(topic, ["new"])
      assert.deepStrictEqual([...(yield* idsOf(group, 2))].sort(), ["new", "retry"])
    })
  )

  it.effect("do not count what is not due yet as waiting, and keep it", () =>
    Effect.gen(function* () {
      const group = yield* subscribe(yield* newTopic, "g")
      const broker = yield* Broker
      yield* broker.deliverLater(group, [{ ...message("", { id: "late" }), delay: Duration.days(36_500) }])
      assert.strictEqual(yield* broker.depth(group.name), 0)
      const [row] = yield* sql(
        "SELECT start_after > now() + interval '99 years' AS late FROM paystream_broker.job WHERE name = $1",
        [group.name]
      )
      assert.deepStrictEqual(row, { late: true })
    })
  )

  it.effect("fail for a retry whose group's queue is gone", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      const gone = { _tag: "Queue" as const, name: `gone-${randomUUID()}` }
      const error = yield* Effect.flip(broker.deliverLater(gone, [{ ...message(""), delay: Duration.zero }]))
      assert.strictEqual(error.reason._tag, "Unroutable")
    })
  )
})
