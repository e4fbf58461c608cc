/** What every broker promises about topics and groups, as tests: run with any layer of the port. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Array as Arr, Clock, Duration, Effect, type Layer, Result, Stream } from "effect"
import { Broker, type Delivery, type MessageContent, type Subscription } from "../../src/domain/ports/Broker.ts"
import { readDeadLetter } from "../../src/domain/ReadDeadLetter.ts"
import { letterOf } from "../support/DeadLetters.ts"
import { bytes, take, text, withDeliveries } from "../support/Messages.ts"
import { deadline, numbers, settle, sorted } from "../support/QueueSteps.ts"
import { eventually, realSleep } from "../support/servers/eventually.ts"
import {
  content,
  contentOf,
  deliverLater,
  depthIs,
  newTopic,
  publish,
  subscribe,
  takes
} from "../support/TopicSteps.ts"

/** What a broker says of itself where the port leaves a choice. */
export interface TopicProperties {
  /** How exactly the publisher's time is kept. */
  readonly timestampUnitMillis: number
}

/** How much earlier than asked for a delayed message may come: what a broker's clock and its rounding make of it. */
const earlyMillis = 100

/** Deliveries in a list that grows, each settled as it comes, as long as the scope is open. */
const consumeInto = (subscription: Subscription, received: Array<Delivery>) =>
  Effect.flatMap(Broker, (broker) =>
    Effect.forkScoped(
      Stream.runForEach(broker.deliveries(subscription, { prefetch: 5 }), (one) => {
        received.push(one)
        return settle([one])
      })
    )
  )

const receivedIs = (hands: ReadonlyArray<ReadonlyArray<Delivery>>, count: number) =>
  eventually(
    Effect.sync(() => assert.strictEqual(hands.flat().length, count)),
    deadline
  )

const elapsedSince = (start: number): number => performance.now() - start

const rich = content({
  id: "id ✓ 1",
  body: bytes('{"amount": 10.00}'),
  headers: { key: "k ✓", whole: 7, broken: 1.5, yes: true, list: ["a", 1], table: { inner: "b" }, nothing: null },
  contentType: "application/json",
  publishedAtMillis: 1_700_000_000_123
})

/** Runs the whole contract. */
export const suite = (name: string, layer: Layer.Layer<Broker, unknown>, properties: TopicProperties): void =>
  withLayer(layer, { excludeTestServices: true, timeout: "60 seconds" })(`Topics (${name})`, (it) => {
    const kept = Math.floor(1_700_000_000_123 / properties.timestampUnitMillis) * properties.timestampUnitMillis
    const richAsKept: MessageContent = { ...rich, publishedAtMillis: kept }

    const sameContent = (delivery: Delivery | undefined, expected: MessageContent) => {
      assert.isDefined(delivery)
      const { body, ...rest } = contentOf(delivery)
      const { body: expectedBody, ...expectedRest } = expected
      assert.deepStrictEqual(rest, expectedRest)
      assert.strictEqual(Buffer.compare(body, expectedBody), 0)
      assert.strictEqual(delivery.attempt, 1)
    }

    it.effect("give each group every message once", () =>
      Effect.gen(function* () {
        const topic = yield* newTopic
        const groups = [yield* subscribe(topic, "one"), yield* subscribe(topic, "two")]
        yield* publish(topic, numbers(50))
        for (const group of groups) yield* takes(group, numbers(50))
      })
    )

    it.effect("share a group's messages among its consumers", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const topic = yield* newTopic
          const group = yield* subscribe(topic, "shared")
          const hands: ReadonlyArray<Array<Delivery>> = [[], []]
          yield* Effect.forEach(hands, (hand) => consumeInto(group, hand))
          yield* publish(topic, numbers(40))
          yield* receivedIs(hands, 40)
          assert.deepStrictEqual(sorted(hands.flat().map(({ body }) => text(body))), sorted(numbers(40)))
          yield* depthIs(group, 0)
        })
      )
    )

    it.effect("keep for a group what is published after it subscribed, whether somebody consumes or not", () =>
      Effect.gen(function* () {
        const topic = yield* newTopic
        yield* publish(topic, ["before"])
        const group = yield* subscribe(topic, "patient")
        yield* publish(topic, numbers(3))
        yield* depthIs(group, 3)
        yield* withDeliveries(group, 3, Effect.succeed)
        yield* takes(group, numbers(3))
      })
    )

    it.effect("tell how many wait for a group, without those of others and those that wait for their delay", () =>
      Effect.gen(function* () {
        const topic = yield* newTopic
        const group = yield* subscribe(topic, "watched")
        const broker = yield* Broker
        const backlogIs = (count: number) =>
          eventually(
            Effect.map(broker.backlog(group), (backlog) => assert.strictEqual(backlog, count)),
            deadline
          )
        yield* backlogIs(0)
        yield* publish(topic, numbers(7))
        yield* deliverLater(group, rich, "1 hour")
        yield* backlogIs(7)
        yield* withDeliveries(group, 2, Effect.succeed)
        yield* take(group, 3)
        yield* backlogIs(4)
        yield* take(group, 4)
        yield* backlogIs(0)
      })
    )

    it.effect("are subscribed to once, however often it is asked and by how many", () =>
      Effect.gen(function* () {
        const topic = yield* newTopic
        const groups = yield* Effect.forEach(Arr.range(1, 5), () => subscribe(topic, "same"), { concurrency: 5 })
        yield* publish(topic, ["kept"])
        const again = yield* subscribe(topic, "same")
        assert.deepStrictEqual(
          groups,
          Arr.makeBy(5, () => again)
        )
        yield* takes(again, ["kept"])
      })
    )

    it.effect("need no subscriber, and no message", () =>
      Effect.gen(function* () {
        yield* publish(yield* newTopic, ["unheard"])
        yield* publish(yield* newTopic, [])
      })
    )

    it.effect("have a queue of their own without a group, which keeps a message once, consumed or not", () =>
      Effect.gen(function* () {
        const topic = `${yield* newTopic}.dlq`
        const own = yield* subscribe(topic)
        yield* publish(topic, numbers(3))
        yield* depthIs(own, 3)
        yield* takes(yield* subscribe(topic), numbers(3))
      })
    )

    it.effect("carry body, id, key, headers, content type and the publisher's time", () =>
      Effect.gen(function* () {
        const topic = yield* newTopic
        const group = yield* subscribe(topic, "g")
        yield* Effect.flatMap(Broker, (broker) => broker.publishToTopics([{ ...rich, topic }]))
        sameContent((yield* take(group, 1))[0], richAsKept)
      })
    )

    it.effect("carry a message through a dead letter and back, to the byte", () =>
      Effect.gen(function* () {
        const topic = yield* newTopic
        const [group, dead] = [yield* subscribe(topic, "g"), yield* subscribe(`${topic}.dlq`)]
        const broker = yield* Broker
        yield* broker.publishToTopics([{ ...rich, topic }])
        const [taken] = yield* take(group, 1)
        assert.isDefined(taken)
        yield* broker.publishToTopics([letterOf(taken, topic)])
        const [letter] = yield* take(dead, 1)
        assert.isDefined(letter)
        yield* deliverLater(group, Result.getOrThrow(readDeadLetter(letter)).original, 0)
        sameContent((yield* take(group, 1))[0], richAsKept)
      })
    )

    it.effect("take a message of just now whose time has a fraction of a millisecond, as a database's has", () =>
      Effect.gen(function* () {
        const topic = yield* newTopic
        const group = yield* subscribe(topic, "g")
        const now = yield* Clock.currentTimeMillis
        const message = { ...rich, topic, publishedAtMillis: now + 0.625 }
        yield* Effect.flatMap(Broker, (broker) => broker.publishToTopics([message]))
        const [taken] = yield* take(group, 1)
        assert.deepStrictEqual(taken?.id, rich.id)
        assert.isAtMost(Math.abs(now - (taken?.publishedAtMillis ?? 0)), properties.timestampUnitMillis)
      })
    )

    it.effect("take messages for several at once", () =>
      Effect.gen(function* () {
        const topics = [yield* newTopic, yield* newTopic, yield* newTopic]
        const groups = yield* Effect.forEach(topics, (topic) => subscribe(topic, "g"))
        const batch = [...topics, yield* newTopic].map((topic) => ({ ...content({ body: bytes(topic) }), topic }))
        yield* Effect.flatMap(Broker, (broker) => broker.publishToTopics(batch))
        for (const [index, group] of groups.entries()) yield* takes(group, [topics[index] ?? ""])
      })
    )

    it.effect("take what many publish at the same time, each message once, with and without subscribers", () =>
      Effect.gen(function* () {
        const [heard, unheard] = [yield* newTopic, yield* newTopic]
        const group = yield* subscribe(heard, "g")
        yield* Effect.forEach(numbers(200), (one) => publish(Number(one) % 2 === 0 ? heard : unheard, [one]), {
          concurrency: 50
        })
        yield* takes(
          group,
          numbers(200).filter((one) => Number(one) % 2 === 0)
        )
      })
    )

    it.effect("deliver later to one group alone, the same message, and not before its delay", () =>
      Effect.gen(function* () {
        const topic = yield* newTopic
        const [failed, other] = [yield* subscribe(topic, "failed"), yield* subscribe(topic, "other")]
        const start = performance.now()
        yield* deliverLater(failed, rich, "600 millis")
        const [taken] = yield* take(failed, 1)
        assert.isAtLeast(elapsedSince(start), 600 - earlyMillis)
        sameContent(taken, richAsKept)
        yield* depthIs(failed, 0)
        yield* depthIs(other, 0)
      })
    )

    it.effect("deliver at once what has no delay, and nothing where there is nothing", () =>
      Effect.gen(function* () {
        const group = yield* subscribe(yield* newTopic, "g")
        yield* deliverLater(group, rich, 0)
        sameContent((yield* take(group, 1))[0], richAsKept)
        yield* Effect.flatMap(Broker, (broker) => broker.deliverLater(group, []))
      })
    )

    it.effect("keep what has no end to its delay, and deliver what comes after it", () =>
      Effect.gen(function* () {
        const group = yield* subscribe(yield* newTopic, "g")
        for (const delay of [Duration.infinity, Duration.seconds(1e300)]) yield* deliverLater(group, rich, delay)
        yield* deliverLater(group, content({ id: "next" }), 0)
        assert.deepStrictEqual(
          (yield* take(group, 1)).map(({ id }) => id),
          ["next"]
        )
      })
    )

    it.effect("deliver later again and again without a trace of the times before", () =>
      Effect.gen(function* () {
        const group = yield* subscribe(yield* newTopic, "g")
        let next = rich
        for (const delay of [0, 50, 200, 50]) {
          yield* deliverLater(group, next, delay)
          const [taken] = yield* take(group, 1)
          sameContent(taken, richAsKept)
          next = taken === undefined ? next : contentOf(taken)
        }
      })
    )

    it.effect("deliver each after its own delay, a short one before a long one that was there first", () =>
      Effect.gen(function* () {
        const group = yield* subscribe(yield* newTopic, "g")
        const delays = Arr.makeBy(12, (index) => 1_650 - index * 150)
        const broker = yield* Broker
        const start = performance.now()
        yield* broker.deliverLater(
          group,
          delays.map((delay) => ({ ...content({ id: String(delay) }), delay: Duration.millis(delay) }))
        )
        const taken = yield* broker.deliveries(group, { prefetch: 100 }).pipe(
          Stream.tap((one) => settle([one])),
          Stream.tap(({ id }) => Effect.sync(() => assert.isAtLeast(elapsedSince(start), Number(id) - earlyMillis))),
          Stream.take(delays.length),
          Stream.runCollect
        )
        assert.deepStrictEqual(sorted(taken.map(({ id }) => id ?? "")), sorted(delays.map(String)))
        assert.notStrictEqual(taken[0]?.id, String(delays[0]))
        yield* depthIs(group, 0)
      })
    )

    it.effect("deliver a retry before what is published half a second after its time, be its delay short or long", () =>
      Effect.gen(function* () {
        const topic = yield* newTopic
        const group = yield* subscribe(topic, "g")
        const delays = [50, 130, 280, 415, 610, 777, 905, 1_130, 1_450]
        const received: Array<Delivery> = []
        yield* consumeInto(group, received)
        // Both take the same ways, and wait for the same machine: only what is late for its time comes behind.
        const raced = (delay: number) =>
          deliverLater(group, content({ id: `after ${delay}` }), delay).pipe(
            Effect.andThen(realSleep(delay + 500)),
            Effect.andThen(publish(topic, [`half a second after ${delay}`]))
          )
        yield* Effect.forEach(delays, raced, { concurrency: "unbounded", discard: true })
        yield* receivedIs([received], delays.length * 2)
        const ids = received.map(({ id }) => id)
        for (const delay of delays)
          assert.isBelow(ids.indexOf(`after ${delay}`), ids.indexOf(`half a second after ${delay}`), ids.join(", "))
      })
    )
  })
