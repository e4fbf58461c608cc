/** What every broker promises about ordered subscriptions, as tests: run with any layer of the port. */
import { assert, type Vitest, layer as withLayer } from "@effect/vitest"
import { Array as Arr, Deferred, Effect, Exit, type Layer, Schedule, Scope, Stream } from "effect"
import { Broker, type Delivery, type Subscription } from "../../src/domain/ports/Broker.ts"
import { bytes, text } from "../support/Messages.ts"
import { settle } from "../support/QueueSteps.ts"
import { eventually, realSleep } from "../support/servers/eventually.ts"
import { content, deliverLater, newTopic } from "../support/TopicSteps.ts"

const deadline = { deadline: "20 seconds" } as const

/** Few, so that a test needs few queues. */
export const ordered = { partitions: 3 }

export const subscribeOrdered = (topic: string, group = "g", partitions = ordered.partitions) =>
  Broker.use((broker) => broker.subscribe(topic, group, { ordered: { partitions } }))

/** Publishes `key:0`, `key:1` … of each key, by turns; from `first` on. */
export const publishKeyed = (topic: string, keys: ReadonlyArray<string>, count: number, first = 0) =>
  Broker.use((broker) =>
    broker.publishToTopics(
      Arr.makeBy(count, (index) => index + first).flatMap((index) =>
        keys.map((key) => ({
          ...content({ id: `${key}:${index}`, body: bytes(JSON.stringify(`${key}:${index}`)), headers: { key } }),
          topic
        }))
      )
    )
  )

export const keys = ["a", "b", "c", "d", "e", "f", "g"]

const keyOf = ({ headers }: Delivery): string => String(headers.key)
const numberOf = ({ body }: Delivery): number => Number.parseInt(text(body).split(":")[1] ?? "", 10)

/** What consumers of a subscription have seen of each key. */
export const makeWitness = () => {
  const seen = new Map<string, Array<number>>()
  const inHand = new Map<string, number>()
  const problems: Array<string> = []
  const first = (key: string): ReadonlyArray<number> => [...new Set(seen.get(key))]
  return {
    problems,
    seen,
    begin: (consumer: number, delivery: Delivery): void => {
      const key = keyOf(delivery)
      const other = inHand.get(key)
      if (other !== undefined && other !== consumer) problems.push(`${key} with ${other} and ${consumer}`)
      inHand.set(key, consumer)
    },
    end: (delivery: Delivery): void => {
      const key = keyOf(delivery)
      inHand.delete(key)
      seen.set(key, [...(seen.get(key) ?? []), numberOf(delivery)])
    },
    leave: (consumer: number, delivery: Delivery): void => {
      if (inHand.get(keyOf(delivery)) === consumer) inHand.delete(keyOf(delivery))
    },
    /** Waits until so many of each key were seen, and looks at their order. */
    sawAll: (of: ReadonlyArray<string>, count: number) =>
      eventually(
        Effect.sync(() => {
          for (const key of of) assert.strictEqual(first(key).length, count, `of ${key}`)
        }),
        deadline
      ).pipe(
        Effect.andThen(
          Effect.sync(() => {
            for (const key of of)
              assert.deepStrictEqual(
                first(key),
                Arr.makeBy(count, (index) => index),
                `of ${key}`
              )
            assert.deepStrictEqual(problems, [])
          })
        )
      )
  }
}

export type Witness = ReturnType<typeof makeWitness>

interface ConsumeOptions {
  readonly prefetch?: number
  readonly work?: Effect.Effect<void>
}

/** Within a key one after the other, as a worker does. */
const consuming = (
  subscription: Subscription,
  witness: Witness,
  consumer: number,
  { prefetch = 24, work = Effect.void }: ConsumeOptions
) =>
  Stream.unwrap(Broker.useSync((broker) => broker.deliveries(subscription, { prefetch }))).pipe(
    Stream.groupByKey(keyOf),
    Stream.flatMap(
      ([, deliveries]) =>
        Stream.mapEffect(deliveries, (delivery) =>
          Effect.sync(() => witness.begin(consumer, delivery)).pipe(
            Effect.andThen(work),
            Effect.andThen(Effect.sync(() => witness.end(delivery))),
            Effect.andThen(settle([delivery])),
            Effect.onExit(() => Effect.sync(() => witness.leave(consumer, delivery)))
          )
        ),
      { concurrency: "unbounded" }
    ),
    Stream.runDrain
  )

/** Consumes until it is stopped, or the scope closes. */
export const consume = (subscription: Subscription, witness: Witness, consumer: number, options: ConsumeOptions = {}) =>
  Effect.gen(function* () {
    const scope = yield* Scope.fork(yield* Scope.Scope)
    yield* Effect.forkIn(consuming(subscription, witness, consumer, options), scope, { startImmediately: true })
    return { stop: Scope.close(scope, Exit.void) }
  })

/** The same, and again whenever the broker goes away. */
export const consumeAgainAndAgain = (subscription: Subscription, witness: Witness) =>
  Effect.retry(consuming(subscription, witness, 1, {}), Schedule.spaced("20 millis"))

export interface OrderedProperties {
  /** Whether all groups are ordered, and what waits for its time is beside the order of its key. */
  readonly byNature?: boolean
}

/** Runs the whole contract. */
export const suite = (
  name: string,
  layer: Layer.Layer<Broker, unknown>,
  { byNature = false }: OrderedProperties = {}
): void =>
  withLayer(layer, { excludeTestServices: true, timeout: "60 seconds" })(`Ordered subscriptions (${name})`, (it) => {
    it.effect("hand out each key's messages in order, to one consumer at a time", () =>
      Effect.gen(function* () {
        const topic = yield* newTopic
        const subscription = yield* subscribeOrdered(topic)
        const witness = makeWitness()
        for (const consumer of [1, 2, 3])
          yield* consume(subscription, witness, consumer, { work: realSleep("2 millis") })
        for (const part of Arr.range(0, 4)) yield* publishKeyed(topic, keys, 10, part * 10)
        yield* witness.sawAll(keys, 50)
        assert.strictEqual([...witness.seen.values()].flat().length, keys.length * 50)
      })
    )

    it.effect("keep the order when consumers come and go with messages in hand, and lose none", () =>
      Effect.gen(function* () {
        const topic = yield* newTopic
        const subscription = yield* subscribeOrdered(topic)
        const witness = makeWitness()
        yield* consume(subscription, witness, 0, { work: realSleep("5 millis") })
        for (const part of Arr.range(0, 5)) {
          yield* publishKeyed(topic, keys, 10, part * 10)
          const passing = yield* consume(subscription, witness, part + 1, { work: realSleep("5 millis") })
          yield* eventually(
            Effect.sync(() => assert.isAtLeast([...witness.seen.values()].flat().length, part * 20)),
            deadline
          )
          yield* passing.stop
        }
        yield* witness.sawAll(keys, 60)
      })
    )

    it.effect("give back what a consumer has in hand where it was: what follows comes after it", () =>
      Effect.gen(function* () {
        const topic = yield* newTopic
        const subscription = yield* subscribeOrdered(topic)
        yield* publishKeyed(topic, keys, 20)
        for (const _ of Arr.range(1, 4)) {
          const taken = yield* Deferred.make<void>()
          const stuck = yield* consume(subscription, makeWitness(), 0, {
            work: Effect.andThen(Deferred.succeed(taken, undefined), Effect.never)
          })
          yield* Deferred.await(taken)
          yield* stuck.stop
        }
        const witness = makeWitness()
        yield* consume(subscription, witness, 1)
        yield* witness.sawAll(keys, 20)
      })
    )

    it.effect("take a message that is returned again, and with it all that followed", () =>
      Effect.gen(function* () {
        const topic = yield* newTopic
        const subscription = yield* subscribeOrdered(topic)
        const broker = yield* Broker
        yield* publishKeyed(topic, ["a"], 10)
        yield* broker.deliveries(subscription, { prefetch: 24 }).pipe(
          Stream.take(1),
          Stream.runForEach((delivery) => broker.settle([{ delivery, outcome: "return" }]))
        )
        const witness = makeWitness()
        yield* consume(subscription, witness, 1)
        yield* witness.sawAll(["a"], 10)
      })
    )

    it.effect("hand out messages without a key as well, and keys of any text and length", () =>
      Effect.gen(function* () {
        const topic = yield* newTopic
        const subscription = yield* subscribeOrdered(topic)
        const broker = yield* Broker
        const odd = ["", " ", "ключ ✓", "a\u0000b", "x".repeat(20_000)]
        const received: Array<string> = []
        yield* Effect.forkScoped(
          Stream.runForEach(broker.deliveries(subscription, { prefetch: 24 }), (delivery) => {
            received.push(`${keyOf(delivery)}`)
            return settle([delivery])
          })
        )
        yield* broker.publishToTopics([
          ...odd.map((key) => ({ ...content({ headers: { key } }), topic })),
          ...Arr.makeBy(20, () => ({ ...content(), topic }))
        ])
        yield* eventually(
          Effect.sync(() => assert.strictEqual(received.length, 25)),
          deadline
        )
        assert.deepStrictEqual(received.filter((key) => key !== "undefined").sort(), [...odd].sort())
      })
    )

    if (byNature) forGroupsByNature(it)
    else forGroupsMadeOrdered(it)
  })

type It = Vitest.MethodsNonLive<Broker>

/** Two for the group alone, behind two of the topic. */
const fourOfOneKey = (topic: string, subscription: Subscription) =>
  Effect.gen(function* () {
    yield* publishKeyed(topic, ["a"], 2)
    yield* deliverLater(subscription, content({ body: bytes("a:2"), headers: { key: "a" } }), 0)
    yield* deliverLater(subscription, content({ body: bytes("a:3"), headers: { key: "a" } }), "300 millis")
    const witness = makeWitness()
    yield* consume(subscription, witness, 1)
    return witness
  })

/** Where a group is made ordered, it is so in everything. */
const forGroupsMadeOrdered = (it: It) => {
  it.effect("take a message for the group alone, as its key's last, with and without a delay", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const witness = yield* fourOfOneKey(topic, yield* subscribeOrdered(topic))
      yield* witness.sawAll(["a"], 4)
    })
  )

  it.effect("refuse a group that was not made ordered, and say what to do", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const broker = yield* Broker
      yield* broker.subscribe(topic, "g")
      const error = yield* Effect.flip(subscribeOrdered(topic))
      assert.strictEqual(error.reason._tag, "BrokerRefused")
      assert.include(error.message, `${topic}.g`)
      yield* subscribeOrdered(topic, "other")
      yield* broker.subscribe(topic, "other")
    })
  )
}

/** Where all groups are ordered, none has to be made so, and what waits for its time does so beside them. */
const forGroupsByNature = (it: It) => {
  it.effect("take a message for the group alone, beside its key's order, with and without a delay", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const { seen } = yield* fourOfOneKey(topic, yield* subscribeOrdered(topic))
      yield* eventually(
        Effect.sync(() => assert.sameMembers([...(seen.get("a") ?? [])], [0, 1, 2, 3])),
        deadline
      )
      const ofTopic = seen.get("a")?.filter((number) => number < 2)
      assert.deepStrictEqual(ofTopic, [0, 1])
    })
  )

  it.effect("are those of any group, however it was made", () =>
    Effect.gen(function* () {
      const topic = yield* newTopic
      const broker = yield* Broker
      assert.deepStrictEqual(yield* broker.subscribe(topic, "g"), yield* subscribeOrdered(topic))
      assert.deepStrictEqual(yield* subscribeOrdered(topic, "other"), yield* broker.subscribe(topic, "other"))
    })
  )
}
