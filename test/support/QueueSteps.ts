/** What a test does with queues, on any broker of the port. */
import { randomUUID } from "node:crypto"
import { assert } from "@effect/vitest"
import { Array as Arr, Effect, Stream } from "effect"
import { Broker, type Delivery, type Outcome, type OutgoingMessage } from "../../src/domain/ports/Broker.ts"
import { bytes, message, take, text } from "./Messages.ts"
import { eventually } from "./servers/eventually.ts"

export const deadline = { deadline: "30 seconds" } as const

/** A queue of its own for a test. */
export const newQueue = Effect.gen(function* () {
  const name = `contract-${randomUUID()}`
  yield* Effect.flatMap(Broker, (broker) => broker.ensureQueue(name))
  return name
})

/** Publishes a message for each text. */
export const publish = (queue: string, texts: ReadonlyArray<string>) =>
  Effect.flatMap(Broker, (broker) => broker.publish(texts.map((one) => message(queue, { body: bytes(one), id: one }))))

export const numbers = (count: number): ReadonlyArray<string> => Arr.makeBy(count, String)
export const textsOf = (deliveries: ReadonlyArray<Delivery>): ReadonlyArray<string> =>
  deliveries.map(({ body }) => text(body))
export const sorted = (texts: ReadonlyArray<string>): ReadonlyArray<string> => [...texts].sort()

/** Settles deliveries, all in the same way. */
export const settle = (deliveries: ReadonlyArray<Delivery>, outcome: Outcome = "done") =>
  Effect.flatMap(Broker, (broker) => broker.settle(deliveries.map((delivery) => ({ delivery, outcome }))))

export const depthIs = (queue: string, expected: number) =>
  eventually(
    Effect.gen(function* () {
      assert.strictEqual(yield* Effect.flatMap(Broker, (broker) => broker.depth(queue)), expected)
    }),
    deadline
  )

/** The deliveries of a queue. */
export const consuming = (queue: string, prefetch = 10) =>
  Stream.unwrap(Effect.map(Broker, (broker) => broker.deliveries({ _tag: "Queue", name: queue }, { prefetch })))

/** Deliveries in a list that grows, as long as the scope is open. */
export const consumeInto = (queue: string, prefetch: number, received: Array<Delivery>) =>
  Effect.forkScoped(Stream.runForEach(consuming(queue, prefetch), (one) => Effect.sync(() => void received.push(one))))

export const received = (deliveries: ReadonlyArray<Delivery>, count: number) =>
  eventually(
    Effect.sync(() => assert.strictEqual(deliveries.length, count)),
    deadline
  )

export const contentOf = ({ attempt: _, receipt: __, properties: ___, body, ...content }: Delivery) => ({
  ...content,
  body: Array.from(body)
})

export const roundTrip = (sent: ReadonlyArray<Omit<OutgoingMessage, "queue">>) =>
  Effect.gen(function* () {
    const queue = yield* newQueue
    yield* Effect.flatMap(Broker, (broker) => broker.publish(sent.map((one) => ({ ...one, queue }))))
    return yield* take(queue, sent.length)
  })
