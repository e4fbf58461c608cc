/** Workers on topics in memory: started, fed, let settle, and their topics looked at. */
import { assert, it } from "@effect/vitest"
import { Array as Arr, Deferred, Effect, Fiber, Layer, Logger, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Broker, BrokerAway, BrokerError, type Delivery, type TopicMessage } from "../../src/domain/ports/Broker.ts"
import type { WaitingMessages } from "../../src/domain/ports/WaitingMessages.ts"
import * as MemoryBroker from "../../src/layers/memory/MemoryBroker.ts"
import * as MemoryWaitingMessages from "../../src/layers/memory/MemoryWaitingMessages.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import { Supervisor } from "../../src/streams/Supervisor.ts"
import { topicWorker } from "../../src/streams/TopicWorker.ts"
import { make, type Worker } from "../../src/streams/Worker.ts"
import { bytes, takeAll, text } from "./Messages.ts"

/** What is logged by the test that runs. */
export const logs: Array<string> = []

const logger = Logger.layer([Logger.map(Logger.formatLogFmt, (line) => void logs.push(line))])

/** What a process with workers has, with a broker in memory. */
const process = Layer.mergeAll(
  Shutdown.layer,
  Supervisor.layer,
  MemoryBroker.layer,
  MemoryWaitingMessages.layer,
  logger
)

/** A test with a stage of its own. */
export const onStage = <E>(
  name: string,
  test: () => Effect.Effect<void, E, Broker | Shutdown | Supervisor | WaitingMessages | Scope.Scope>
) =>
  it.effect(name, () => {
    logs.length = 0
    return Effect.provide(test(), process)
  })

/** The broker with some of its calls replaced. */
export const broken = (change: (broker: Broker["Service"]) => Partial<Broker["Service"]>) =>
  Broker.useSync((broker) => Broker.of({ ...broker, ...change(broker) }))

/** What a broker says that cannot be reached. */
export const away = new BrokerError({ reason: new BrokerAway({ detail: "away" }) })

/** The broker, away when a worker first settles. */
export const unsettledOnce = Effect.suspend(() => {
  let asked = 0
  return broken((broker) => ({
    settle: (batch) => Effect.suspend(() => (asked++ === 0 ? Effect.fail(away) : broker.settle(batch)))
  }))
})

/** A worker whose handlers give their input back once `open` has run, and how many have begun. */
export const gated = Effect.fnUntraced(function* (concurrency: number) {
  const gate = yield* Deferred.make<void>()
  let begun = 0
  const options = { topic: "in", outputTopic: "out", concurrency }
  const worker = make("w", options, (input) =>
    Effect.suspend(() => {
      begun++
      return Effect.as(Deferred.await(gate), input)
    })
  )
  return { worker, begun: () => begun, open: Effect.andThen(Deferred.succeed(gate, undefined), settled) }
})

/** Publishes the numbers from 0 on. */
export const sendNumbers = (count: number) => Effect.forEach(Arr.makeBy(count, String), (body) => send("in", body))

/** How many messages wait in a queue. */
export const depth = (queue: string) => Broker.use((broker) => broker.depth(queue))

/** Every fiber that can go on without the clock has gone on. */
export const settled = Effect.forEach(Arr.range(1, 200), () => Effect.yieldNow, { discard: true })

/** Starts a worker, which is subscribed when this returns; its endings come in a list that grows. */
export const start = <In, Out, R>(worker: Worker<In, Out, R>) =>
  Effect.gen(function* () {
    const endings: Array<string> = []
    const run = Stream.runForEach(topicWorker(worker), (ending) => Effect.sync(() => void endings.push(ending)))
    const fiber = yield* Effect.forkScoped(run, { startImmediately: true })
    yield* settled
    return { endings, fiber }
  })

/** Makes the queue of a group that only keeps what comes: the topic's messages are looked at there. */
export const watch = (...topics: ReadonlyArray<string>) =>
  Broker.use((broker) => Effect.forEach(topics, (topic) => broker.subscribe(topic, "watch"), { discard: true }))

/** All that has come to a topic that is watched. */
export const seen = (topic: string) => takeAll(`${topic}.watch`)

/** All dead letters of a topic. */
export const deadLetters = (topic: string) => takeAll(`${topic}.dlq`)

/** The only dead letter of a topic. */
export const deadLetter = (topic: string) =>
  Effect.map(deadLetters(topic), ([letter, ...others]) => {
    assert.strictEqual(others.length, 0)
    return letter as Delivery
  })

/** Publishes one message with the text as its body. */
export const send = (topic: string, body: string, fields: Partial<TopicMessage> = {}) =>
  Broker.use((broker) =>
    broker.publishToTopics([
      {
        topic,
        id: undefined,
        body: bytes(body),
        headers: {},
        contentType: undefined,
        publishedAtMillis: undefined,
        ...fields
      }
    ])
  ).pipe(Effect.andThen(settled))

/** Lets so much time go by, and all that follows from it. */
export const elapse = (duration: Parameters<typeof TestClock.adjust>[0]) =>
  Effect.andThen(TestClock.adjust(duration), settled)

/** The JSON value of a body. */
export const json = ({ body }: Delivery): unknown => JSON.parse(text(body))

/** Asks to stop and waits until the worker has. */
export const stop = <A, E>(fiber: Fiber.Fiber<A, E>) =>
  Effect.andThen(
    Shutdown.use(({ request }) => request),
    Fiber.join(fiber)
  )
