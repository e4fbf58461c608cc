/**
 * The broker in memory, for tests of what is built on the port.
 *
 * ## Guarantees
 * - Those of the port, as long as the layer lives. First in, first out; what is given back takes its old place, at once.
 * - Every delivery of a message is counted. No clock and no chance: the same calls give the same deliveries.
 * - Where some messages of a `publish` have no queue, the others are published, as a broker on a wire would do.
 * - What is published to a topic without subscribers is kept in the queue `unrouted`.
 *
 * ## Assumptions
 * - Everything fits into memory: nothing but the prefetch limits what is in flight.
 * - Nobody wants to see a rejected message again.
 * - A group's queue is `<topic>.<group>`: no other topic is named so.
 */
import { Duration, Effect, Layer, Scope, Stream } from "effect"
import {
  Broker,
  BrokerError,
  BrokerRefused,
  type DelayedMessage,
  type Delivery,
  groupQueue,
  type MessageContent,
  queueOf,
  type Subscription,
  type TopicMessage,
  Unroutable
} from "../../domain/ports/Broker.ts"
import { attach, browse, type Consumer, copy, detach, dispatch, type MessageQueue, settle } from "./MemoryQueue.ts"
import { Traffic } from "./Traffic.ts"

/** Where messages are kept that were published to a topic without subscribers. */
export const unroutedQueue = "unrouted"

/** All queues, and which of them get a topic's messages. */
const makeQueues = () => {
  const queues = new Map<string, MessageQueue>()
  const bindings = new Map<string, Set<string>>()
  const published: Array<TopicMessage> = []
  const delays: Array<Duration.Duration> = []
  const delayed = new Map<string, number>()
  let places = 0

  const ensure = (name: string, isOrdered = false): void => {
    if (!queues.has(name)) queues.set(name, { isOrdered, busy: new Set(), waiting: [], consumers: new Set() })
  }
  ensure(unroutedQueue)
  const find = (name: string) => {
    const queue = queues.get(name)
    return queue === undefined
      ? Effect.fail(new BrokerError({ reason: new Unroutable({ detail: `no queue ${name} in memory` }) }))
      : Effect.succeed(queue)
  }

  return {
    ensure,
    find,
    depth: (name: string) => Effect.map(find(name), ({ waiting }) => waiting.length),
    isOrdered: (name: string): boolean => queues.get(name)?.isOrdered === true,
    bind: (topic: string, name: string, isOrdered: boolean): void => {
      ensure(name, isOrdered)
      bindings.set(topic, (bindings.get(topic) ?? new Set()).add(name))
    },
    bound: (topic: string): Iterable<string> => bindings.get(topic) ?? [unroutedQueue],
    add: (name: string, content: MessageContent): void => {
      queues.get(name)?.waiting.push({ place: places++, content: copy(content), deliveries: 0 })
    },
    dispatchAll: (): void => queues.forEach(dispatch),
    published,
    delays,
    delay: (name: string, change: 1 | -1): void => void delayed.set(name, (delayed.get(name) ?? 0) + change),
    outstanding: (): number => {
      let count = 0
      for (const [name, { consumers, waiting }] of queues) {
        if (consumers.size > 0) count += waiting.length + (delayed.get(name) ?? 0)
        for (const { unsettled } of consumers) count += unsettled.size
      }
      return count
    }
  }
}

type Queues = ReturnType<typeof makeQueues>

const subscribe =
  (queues: Queues): Broker["Service"]["subscribe"] =>
  (topic, group, { ordered } = {}) =>
    Effect.suspend(() => {
      const name = groupQueue(topic, group)
      queues.bind(topic, name, ordered !== undefined)
      if (ordered === undefined) return Effect.succeed({ _tag: "Queue", name })
      if (queues.isOrdered(name)) return Effect.succeed({ _tag: "Queue", name, ordered })
      const detail = `queue ${name} exists in memory, and not for an ordered group`
      return Effect.fail(new BrokerError({ reason: new BrokerRefused({ detail }) }))
    })

const publishToTopics = (queues: Queues) => (messages: ReadonlyArray<TopicMessage>) =>
  Effect.sync(() => {
    for (const message of messages) {
      queues.published.push({ ...copy(message), topic: message.topic })
      for (const name of queues.bound(message.topic)) queues.add(name, message)
    }
    queues.dispatchAll()
  })

/** As long as the layer lives, whoever asked for it may be gone. */
const deliverLater =
  (queues: Queues, scope: Scope.Scope) => (subscription: Subscription, messages: ReadonlyArray<DelayedMessage>) =>
    Effect.flatMap(queueOf("memory", subscription), ({ name }) => {
      const deliver = (message: MessageContent) =>
        Effect.sync(() => {
          queues.add(name, message)
          queues.dispatchAll()
        })
      const schedule = ({ delay, ...content }: DelayedMessage) => {
        const message = copy(content)
        queues.delays.push(delay)
        if (Duration.isZero(delay)) return deliver(message)
        queues.delay(name, 1)
        const due = Effect.andThen(
          Effect.sync(() => queues.delay(name, -1)),
          deliver(message)
        )
        return Effect.forkIn(Effect.delay(due, delay), scope, { startImmediately: true })
      }
      return Effect.andThen(queues.find(name), Effect.forEach(messages, schedule, { discard: true }))
    })

const make = Effect.fnUntraced(function* (queues: Queues) {
  const scope = yield* Scope.Scope

  const consume = (
    name: string,
    prefetch: number,
    deliveries: Consumer["deliveries"]
  ): Effect.Effect<Consumer, BrokerError, Scope.Scope> =>
    Effect.flatMap(queues.find(name), (queue) => Effect.acquireRelease(attach(queue, prefetch, deliveries), detach))

  return Broker.of({
    kind: "memory",
    address: "memory",
    ensureQueue: (name) => Effect.sync(() => queues.ensure(name)),
    deliveries: (subscription, { prefetch }) =>
      Stream.callback<Delivery, BrokerError>((deliveries) =>
        Effect.flatMap(queueOf("memory", subscription), ({ name }) => consume(name, prefetch, deliveries))
      ),
    settle: (settlements) => Effect.sync(() => settle(settlements)),
    publish: (messages) =>
      Effect.suspend(() => {
        for (const message of messages) queues.add(message.queue, message)
        queues.dispatchAll()
        return Effect.forEach(new Set(messages.map(({ queue }) => queue)), queues.find, { discard: true })
      }),
    subscribe: subscribe(queues),
    publishToTopics: publishToTopics(queues),
    deliverLater: deliverLater(queues, scope),
    lookUp: (topic, group) => {
      const name = groupQueue(topic, group)
      return Effect.as(queues.find(name), { _tag: "Queue", name } as const)
    },
    browse: (name) => Effect.flatMap(queues.find(name), browse),
    depth: queues.depth,
    backlog: (subscription) => Effect.flatMap(queueOf("memory", subscription), ({ name }) => queues.depth(name)),
    status: Effect.succeed("connected")
  })
})

/** An empty broker of its own for each use of the layer. */
export const layer: Layer.Layer<Broker | Traffic> = Layer.unwrap(
  Effect.sync(() => {
    const queues = makeQueues()
    const traffic = Traffic.of({
      published: Effect.sync(() => [...queues.published]),
      outstanding: Effect.sync(queues.outstanding),
      delays: Effect.sync(() => [...queues.delays])
    })
    return Layer.merge(Layer.effect(Broker, make(queues)), Layer.succeed(Traffic, traffic))
  })
)
