/** What a test does with topics and groups, on any broker of the port. */
import { randomUUID } from "node:crypto"
import { assert } from "@effect/vitest"
import { Context, Duration, Effect } from "effect"
import {
  Broker,
  type Delivery,
  type MessageContent,
  queueOf,
  type Subscription
} from "../../src/domain/ports/Broker.ts"
import { bytes, message, take, text } from "./Messages.ts"
import { deadline, sorted } from "./QueueSteps.ts"
import { eventually } from "./servers/eventually.ts"

/** A topic of its own for a test. */
export const newTopic = Effect.sync(() => `topic-${randomUUID()}`)

/** Makes a subscription. */
export const subscribe = (topic: string, group?: string) =>
  Effect.flatMap(Broker, (broker) => broker.subscribe(topic, group))

/** A group on a topic of its own. */
export const newGroup = Effect.gen(function* () {
  const topic = yield* newTopic
  return { topic, group: yield* subscribe(topic, "g") }
})

/** A message with only what a test cares about. */
export const content = (fields: Partial<MessageContent> = {}): MessageContent => {
  const { queue: _, ...rest } = message("", fields)
  return rest
}

/** Publishes a message for each text. */
export const publish = (topic: string, texts: ReadonlyArray<string>) =>
  Effect.flatMap(Broker, (broker) =>
    broker.publishToTopics(texts.map((one) => ({ ...content({ body: bytes(one), id: one }), topic })))
  )

/** Has a message delivered again, after a while. */
export const deliverLater = (subscription: Subscription, one: MessageContent, delay: Duration.Input) =>
  Effect.flatMap(Broker, (broker) =>
    broker.deliverLater(subscription, [{ ...one, delay: Duration.fromInputUnsafe(delay) }])
  )

/** Takes as many deliveries as there are texts, and compares them, in whatever order. */
export const takes = (subscription: Subscription, texts: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const taken = yield* take(subscription, texts.length)
    assert.deepStrictEqual(sorted(taken.map(({ body }) => text(body))), sorted(texts))
    yield* depthIs(subscription, 0)
  })

/** How to look at what waits for a group of a topic, where the broker has no queue for it. */
export const TopicDepth = Context.Reference<(subscription: Subscription) => Effect.Effect<number, unknown>>(
  "paystream/test/TopicDepth",
  { defaultValue: () => () => Effect.die(new Error("this broker has queues")) }
)

const depthOf = (subscription: Subscription): Effect.Effect<number, unknown, Broker> =>
  subscription._tag === "Queue"
    ? Effect.flatMap(Broker, (broker) => broker.depth(subscription.name))
    : Effect.flatMap(TopicDepth, (depth) => depth(subscription))

export const depthIs = (subscription: Subscription, expected: number) =>
  eventually(
    Effect.gen(function* () {
      assert.strictEqual(yield* depthOf(subscription), expected)
    }),
    deadline
  )

/** Subscribes at a broker that has a queue for it. */
export const subscribeQueue = (topic: string, group?: string) =>
  Effect.flatMap(subscribe(topic, group), (subscription) => queueOf("the broker", subscription)).pipe(
    Effect.map(({ name }) => ({ _tag: "Queue", name }) as const)
  )

/** What a delivery is, whatever its broker made of it. */
export const contentOf = ({
  attempt: _,
  receipt: __,
  properties: ___,
  isRevoked: ____,
  ...rest
}: Delivery): MessageContent => rest
