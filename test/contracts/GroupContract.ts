/**
 * What every broker promises of a plain group while its members join, leave and take their time, as tests: run with any
 * layer of the port.
 */
import { assert, layer as withLayer } from "@effect/vitest"
import { Array as Arr, type Duration, Effect, Exit, Fiber, type Layer, Scope, Stream } from "effect"
import { Broker, type Delivery, isRevoked, type Subscription } from "../../src/domain/ports/Broker.ts"
import { bytes, text } from "../support/Messages.ts"
import { numbers, settle, sorted } from "../support/QueueSteps.ts"
import { eventually, realSleep } from "../support/servers/eventually.ts"
import { content, depthIs, newGroup, newTopic, publish, subscribe } from "../support/TopicSteps.ts"

/** What a broker says of itself where the port leaves a choice. */
export interface GroupProperties {
  /** The same broker, taking a member for dead as soon as it can, and a busy machine lets it. */
  readonly impatient: Layer.Layer<Broker, unknown>
  /** The longest that it then hears nothing of a member that it takes to be alive. */
  readonly silenceMillis: number
  /** Whether a key is with one member at a time, so that its order holds across members too. */
  readonly keepsKeysTogether: boolean
}

const deadline = { deadline: "60 seconds" } as const

const countIs = (list: ReadonlyArray<unknown>, count: number) =>
  eventually(
    Effect.sync(() => assert.strictEqual(list.length, count)),
    deadline
  )

const countPasses = (list: ReadonlyArray<unknown>, count: number) =>
  eventually(
    Effect.sync(() => assert.isAbove(list.length, count)),
    deadline
  )

type Handle = (delivery: Delivery) => Effect.Effect<unknown, unknown, Broker>

/** A member that handles some at a time, and leaves with the scope, or before. */
const join = Effect.fnUntraced(function* (group: Subscription, handle: Handle, concurrency: number) {
  const broker = yield* Broker
  const scope = yield* Scope.fork(yield* Scope.Scope)
  const consuming = broker
    .deliveries(group, { prefetch: 10 })
    .pipe(Stream.mapEffect(handle, { concurrency, unordered: true }), Stream.runDrain)
  yield* Effect.forkIn(consuming, scope, { startImmediately: true })
  return { leave: Scope.close(scope, Exit.void) }
})

const handlingTime: Duration.Input = "4 millis"

/** What the members of a group do, one message after the other each, and whether two had a key's at the same time. */
const makeWitness = () => {
  const handled: Array<string> = []
  const overlaps: Array<string> = []
  const atWork = new Set<string>()
  const handle: Handle = Effect.fnUntraced(function* (delivery) {
    if (isRevoked(delivery)) return
    const [key, id] = [String(delivery.headers.key), String(delivery.id)]
    if (atWork.has(key)) overlaps.push(id)
    atWork.add(key)
    yield* Effect.ensuring(
      realSleep(handlingTime),
      Effect.sync(() => atWork.delete(key))
    )
    // who leaves meanwhile has handled it and settled it, or neither
    yield* Effect.uninterruptible(
      Effect.andThen(
        Effect.sync(() => handled.push(id)),
        settle([delivery])
      )
    )
  })
  return { handle, handled, overlaps }
}

const [keys, each] = [Arr.makeBy(12, (index) => `key-${index}`), 100]

const keyed = (topic: string, number: number) =>
  keys.map((key) => ({
    ...content({ body: bytes(String(number)), id: `${key}-${number}`, headers: { key } }),
    topic
  }))

/** Some of each key at a time, for as long as members come and go. */
const publishing = (topic: string) =>
  Effect.flatMap(Broker, (broker) =>
    Effect.forEach(
      Arr.range(0, each - 1),
      (number) => Effect.andThen(broker.publishToTopics(keyed(topic, number)), realSleep("40 millis")),
      { discard: true }
    )
  )

const assertInOrder = (handled: ReadonlyArray<string>) => {
  for (const key of keys) {
    const own = handled.filter((id) => id.startsWith(`${key}-`))
    assert.deepStrictEqual(
      own,
      Arr.makeBy(each, (number) => `${key}-${number}`)
    )
  }
}

/** Runs the whole contract. */
export const suite = (name: string, layer: Layer.Layer<Broker, unknown>, properties: GroupProperties): void =>
  withLayer(layer, { excludeTestServices: true, timeout: "60 seconds" })(`Groups (${name})`, (it) => {
    it.effect("lose nothing and do nothing twice while members join and leave under load, in the order promised", () =>
      Effect.gen(function* () {
        const topic = yield* newTopic
        const [changing, steady] = [yield* subscribe(topic, "changing"), yield* subscribe(topic, "steady")]
        const [ofMany, ofOne] = [makeWitness(), makeWitness()]
        // one at a time for each member: what overlaps then, overlaps across members
        yield* join(steady, ofOne.handle, 1)
        const first = yield* join(changing, ofMany.handle, 1)
        const published = yield* Effect.forkScoped(publishing(topic))
        for (const count of [150, 300]) {
          yield* countPasses(ofMany.handled, count)
          yield* join(changing, ofMany.handle, 1)
        }
        yield* countPasses(ofMany.handled, 600)
        yield* first.leave
        yield* Fiber.join(published)
        // what came twice would be here before the queue is empty
        for (const [group, { handled }] of [
          [changing, ofMany],
          [steady, ofOne]
        ] as const) {
          yield* countPasses(handled, keys.length * each - 1)
          yield* depthIs(group, 0)
          assert.strictEqual(handled.length, keys.length * each)
        }
        assertInOrder(ofOne.handled)
        if (!properties.keepsKeysTogether) return
        assertInOrder(ofMany.handled)
        assert.deepStrictEqual(ofMany.overlaps, [])
      })
    )

    it.effect("keep what a slow handler has in hand, deliver nothing twice, and go on with its neighbours", () =>
      Effect.gen(function* () {
        const { group, topic } = yield* newGroup
        const [begun, ended]: [Array<Delivery>, Array<string>] = [[], []]
        const handle: Handle = Effect.fnUntraced(function* (delivery) {
          begun.push(delivery)
          if (text(delivery.body) === "slow") yield* realSleep(properties.silenceMillis + 2_000)
          yield* settle([delivery])
          ended.push(text(delivery.body))
        })
        yield* join(group, handle, 10)
        yield* publish(topic, ["slow"])
        yield* countIs(begun, 1)
        yield* publish(topic, numbers(30))
        yield* countIs(ended, 30)
        assert.notInclude(ended, "slow")
        yield* countIs(ended, 31)
        yield* depthIs(group, 0)
        assert.deepStrictEqual(sorted(begun.map(({ body }) => text(body))), sorted([...numbers(30), "slow"]))
        assert.deepStrictEqual([...new Set(begun.map(({ attempt }) => attempt))], [1])
      }).pipe(Effect.provide(properties.impatient))
    )
  })
