/** What every broker promises about looking at a queue, as tests: run with any layer of the port. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Array as Arr, Effect, type Layer, Stream } from "effect"
import { Broker, BrokerError, type Delivery } from "../../src/domain/ports/Broker.ts"
import { bytes, message, takeAll, text } from "../support/Messages.ts"
import { newQueue, publish, settle } from "../support/QueueSteps.ts"
import { contentOf, depthIs, newTopic, subscribeQueue as subscribe } from "../support/TopicSteps.ts"

const textsOf = (deliveries: ReadonlyArray<Delivery>): ReadonlyArray<string> => deliveries.map(({ body }) => text(body))
const numbers = (count: number): ReadonlyArray<string> => Arr.makeBy(count, String)

/** Publishes one after the other, so that each broker keeps them in this order. */
const publishInOrder = (queue: string, texts: ReadonlyArray<string>) =>
  Effect.forEach(texts, (one) => publish(queue, [one]), { discard: true })

/** Looks at the first of a queue, and hands them to `use` while the look goes on. */
const look = <A, E, R>(
  queue: string,
  count: number,
  use: (seen: ReadonlyArray<Delivery>, waiting: number) => Effect.Effect<A, E, R>
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { messages, waiting } = yield* Effect.flatMap(Broker, (broker) => broker.browse(queue))
      const seen = yield* Stream.runCollect(Stream.take(messages, count))
      return yield* use(seen, waiting)
    })
  )

const all = Number.POSITIVE_INFINITY

const seen = (queue: string, count = all) => look(queue, count, (found) => Effect.succeed(textsOf(found)))

/** A consumer gets exactly these; in which order is the contract of deliveries. */
const takesAll = (queue: string, texts: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    yield* depthIs({ _tag: "Queue", name: queue }, texts.length)
    assert.deepStrictEqual([...textsOf(yield* takeAll(queue))].sort(), [...texts].sort())
  })

const isUnroutable = <A, R>(effect: Effect.Effect<A, BrokerError, R>) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, BrokerError)
    assert.strictEqual(error.reason._tag, "Unroutable")
  })

/** What a broker says of itself where the port leaves a choice. */
export interface BrowseProperties {
  /** Whether what was looked at goes back to its place, or behind what nobody looked at. */
  readonly keepsPlace: boolean
  /** Whether a group's subscription is a queue, that can be looked at itself. */
  readonly groupsHaveQueues?: boolean
}

/** Runs the whole contract. */
export const suite = (
  name: string,
  layer: Layer.Layer<Broker, unknown>,
  { groupsHaveQueues = true, keepsPlace }: BrowseProperties
): void =>
  withLayer(layer, { excludeTestServices: true, timeout: "60 seconds" })(`Browsing (${name})`, (it) => {
    /** What waits after a look: those given back and those that nobody looked at. */
    const afterwards = (returned: ReadonlyArray<string>, others: ReadonlyArray<string>) =>
      keepsPlace ? [...returned, ...others] : [...others, ...returned]

    const waits = (queue: string, texts: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        yield* depthIs({ _tag: "Queue", name: queue }, texts.length)
        assert.deepStrictEqual(yield* seen(queue), texts)
      })

    it.effect("shows what waits, oldest first, however often, and takes nothing", () =>
      Effect.gen(function* () {
        const queue = yield* newQueue
        yield* publishInOrder(queue, numbers(12))
        for (let times = 0; times < 3; times++) yield* waits(queue, numbers(12))
        yield* takesAll(queue, numbers(12))
      })
    )

    it.effect("shows the whole message", () =>
      Effect.gen(function* () {
        const queue = yield* newQueue
        const sent = message(queue, {
          id: "id",
          body: Uint8Array.from([0, 255]),
          headers: { "x-paystream-reason": "conflict", n: 7 },
          contentType: "text/plain",
          publishedAtMillis: 1_700_000_000_000
        })
        yield* Effect.flatMap(Broker, (broker) => broker.publish([sent]))
        yield* look(queue, all, ([one]) =>
          Effect.sync(() => {
            assert.isDefined(one)
            const { queue: _, body, ...expected } = sent
            const { body: found, ...rest } = contentOf(one)
            assert.deepStrictEqual(rest, expected)
            assert.strictEqual(Buffer.compare(found, body), 0)
            assert.strictEqual(one.attempt, 1)
          })
        )
      })
    )

    it.effect("says how much waits, and shows the first of it to whom that is enough", () =>
      Effect.gen(function* () {
        const queue = yield* newQueue
        assert.deepStrictEqual(
          yield* look(queue, all, (found, waiting) => Effect.succeed([found.length, waiting])),
          [0, 0]
        )
        yield* publishInOrder(queue, numbers(9))
        const few = yield* look(queue, 3, (found, waiting) => Effect.succeed([textsOf(found), waiting]))
        assert.deepStrictEqual(few, [["0", "1", "2"], 9])
        yield* waits(queue, afterwards(numbers(3), numbers(9).slice(3)))
      })
    )

    it.effect("removes what is done, and leaves the rest as it was", () =>
      Effect.gen(function* () {
        const queue = yield* newQueue
        yield* publishInOrder(queue, numbers(8))
        yield* look(queue, 6, (found) =>
          Effect.gen(function* () {
            yield* settle(found.filter((_, index) => index % 2 === 0))
            yield* settle(found.slice(1, 2), "return")
          })
        )
        yield* waits(queue, afterwards(["1", "3", "5"], ["6", "7"]))
        yield* takesAll(queue, ["1", "3", "5", "6", "7"])
      })
    )

    it.effect("comes to an end, though each message that it shows is followed by a new one", () =>
      Effect.gen(function* () {
        const queue = yield* newQueue
        yield* publishInOrder(queue, numbers(5))
        const { messages } = yield* Effect.flatMap(Broker, (broker) => broker.browse(queue))
        const shown = yield* messages.pipe(
          Stream.tap((one) => Effect.andThen(publish(queue, [`again ${text(one.body)}`]), settle([one]))),
          Stream.runCollect
        )
        assert.deepStrictEqual(textsOf(shown), numbers(5))
        const again = numbers(5).map((one) => `again ${one}`)
        yield* waits(queue, again)
      }).pipe(Effect.scoped)
    )

    it.effect("gives back what it shows when it is interrupted", () =>
      Effect.gen(function* () {
        const queue = yield* newQueue
        yield* publishInOrder(queue, numbers(5))
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { messages } = yield* Effect.flatMap(Broker, (broker) => broker.browse(queue))
            yield* Stream.runForEach(messages, (one) => (text(one.body) === "3" ? Effect.interrupt : settle([one])))
          })
        ).pipe(Effect.exit)
        yield* takesAll(queue, ["3", "4"])
      })
    )

    it.effect("of a queue that is not there says so, and makes none", () =>
      Effect.gen(function* () {
        const broker = yield* Broker
        const name = yield* newTopic
        for (let times = 0; times < 2; times++) {
          yield* isUnroutable(Effect.scoped(broker.browse(name)))
          yield* isUnroutable(broker.lookUp(name, "group"))
          yield* isUnroutable(broker.lookUp(name, undefined))
          yield* isUnroutable(broker.deliverLater({ _tag: "Queue", name }, []).pipe(Effect.andThen(broker.depth(name))))
        }
      })
    )

    if (!groupsHaveQueues) return

    it.effect("finds a group's subscription once it is there, and the topic's own", () =>
      Effect.gen(function* () {
        const broker = yield* Broker
        const topic = yield* newTopic
        const group = yield* subscribe(topic, "g")
        assert.deepStrictEqual(yield* broker.lookUp(topic, "g"), group)
        yield* isUnroutable(broker.lookUp(topic, undefined))
        const own = yield* subscribe(topic)
        assert.deepStrictEqual(yield* broker.lookUp(topic, undefined), own)
        yield* broker.publish([message(group.name, { body: bytes("x") })])
        assert.deepStrictEqual(yield* seen(group.name), ["x"])
      })
    )
  })
