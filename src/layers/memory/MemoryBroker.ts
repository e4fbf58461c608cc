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
import { type Cause, Duration, Effect, Layer, Queue, Scope, Stream } from "effect"
import {
  Broker,
  BrokerError,
  type Browsing,
  type DelayedMessage,
  type Delivery,
  groupQueue,
  type MessageContent,
  queueOf,
  type Settlement,
  type Subscription,
  type TopicMessage,
  Unroutable
} from "../../domain/ports/Broker.ts"
import { Traffic } from "./Traffic.ts"

interface Message {
  /** Its place in the queue, kept for when it comes back. */
  readonly place: number
  readonly content: MessageContent
  deliveries: number
}

interface MessageQueue {
  waiting: Array<Message>
  readonly consumers: Set<Consumer>
}

interface Consumer {
  readonly queue: MessageQueue
  readonly prefetch: number
  readonly unsettled: Set<Message>
  readonly deliveries: Queue.Queue<Delivery, BrokerError | Cause.Done>
}

interface Receipt {
  readonly consumer: Pick<Consumer, "queue" | "unsettled">
  readonly message: Message
}

/** Hands out what waits, each to the consumer with the least in hand. */
const dispatch = (queue: MessageQueue): void => {
  for (let consumer = leastBusy(queue); consumer !== undefined; consumer = leastBusy(queue)) {
    const message = queue.waiting.shift()
    if (message === undefined) return
    consumer.unsettled.add(message)
    Queue.offerUnsafe(consumer.deliveries, toDelivery(consumer, message))
  }
}

const leastBusy = ({ consumers }: MessageQueue): Consumer | undefined => {
  let found: Consumer | undefined
  for (const consumer of consumers) {
    const { size } = consumer.unsettled
    if (size < consumer.prefetch && (found === undefined || size < found.unsettled.size)) found = consumer
  }
  return found
}

const toDelivery = (consumer: Consumer, message: Message): Delivery =>
  deliveryOf(consumer, message, ++message.deliveries)

const deliveryOf = (consumer: Receipt["consumer"], message: Message, attempt: number): Delivery => ({
  ...message.content,
  id: message.content.id || undefined,
  attempt,
  receipt: { consumer, message } satisfies Receipt
})

/** What may be changed by whoever published it is copied. */
const copy = ({ id, body, headers, contentType, publishedAtMillis }: MessageContent): MessageContent => ({
  id,
  body: body.slice(),
  headers: { ...headers },
  contentType,
  publishedAtMillis
})

const giveBack = (queue: MessageQueue, messages: ReadonlyArray<Message>): void => {
  queue.waiting = [...messages, ...queue.waiting].sort((one, other) => one.place - other.place)
}

const settle = (settlements: ReadonlyArray<Settlement>): void => {
  const held = settlements
    .map(({ delivery, outcome }) => ({ ...(delivery.receipt as Receipt), outcome }))
    .filter(({ consumer, message }) => consumer.unsettled.delete(message))
  for (const [queue, own] of Map.groupBy(held, ({ consumer }) => consumer.queue)) {
    giveBack(
      queue,
      own.filter(({ outcome }) => outcome === "return").map(({ message }) => message)
    )
    dispatch(queue)
  }
}

const attach = (queue: MessageQueue, prefetch: number, deliveries: Consumer["deliveries"]) =>
  Effect.sync(() => {
    const consumer: Consumer = { queue, prefetch, unsettled: new Set(), deliveries }
    queue.consumers.add(consumer)
    dispatch(queue)
    return consumer
  })

const detach = (consumer: Consumer) =>
  Effect.sync(() => {
    const { queue, unsettled } = consumer
    queue.consumers.delete(consumer)
    giveBack(queue, [...unsettled])
    unsettled.clear()
    dispatch(queue)
  })

/** Who looks takes what waits, one by one, out of everybody's sight, and puts back what is left. */
const browse = (queue: MessageQueue): Effect.Effect<Browsing, never, Scope.Scope> =>
  Effect.sync(() => {
    const seen: Receipt["consumer"] = { queue, unsettled: new Set() }
    const waiting = [...queue.waiting]
    const take = (message: Message): ReadonlyArray<Delivery> => {
      const place = queue.waiting.indexOf(message)
      if (place < 0) return []
      queue.waiting.splice(place, 1)
      seen.unsettled.add(message)
      // It was not delivered: its count stays.
      return [deliveryOf(seen, message, message.deliveries + 1)]
    }
    return {
      seen,
      waiting: waiting.length,
      messages: Stream.flattenIterable(Stream.map(Stream.fromArray(waiting), take))
    }
  }).pipe((look) =>
    Effect.acquireRelease(look, ({ seen }) =>
      Effect.sync(() => {
        giveBack(queue, [...seen.unsettled])
        seen.unsettled.clear()
        dispatch(queue)
      })
    )
  )

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

  const ensure = (name: string): void => {
    if (!queues.has(name)) queues.set(name, { waiting: [], consumers: new Set() })
  }
  ensure(unroutedQueue)

  return {
    ensure,
    find: (name: string) => {
      const queue = queues.get(name)
      return queue === undefined
        ? Effect.fail(new BrokerError({ reason: new Unroutable({ detail: `no queue ${name} in memory` }) }))
        : Effect.succeed(queue)
    },
    bind: (topic: string, name: string): void => {
      ensure(name)
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

const subscribe = (queues: Queues) => (topic: string, group: string | undefined) =>
  Effect.sync((): Subscription => {
    const name = groupQueue(topic, group)
    queues.bind(topic, name)
    return { _tag: "Queue", name }
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
    depth: (name) => Effect.map(queues.find(name), ({ waiting }) => waiting.length),
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
