/**
 * The broker in memory, for tests of what is built on the port.
 *
 * ## Guarantees
 * - Those of the port, as long as the layer lives. First in, first out; what is given back takes its old place, at once.
 * - Every delivery of a message is counted. No clock and no chance: the same calls give the same deliveries.
 * - Where some messages of a `publish` have no queue, the others are published, as a broker on a wire would do.
 *
 * ## Assumptions
 * - Everything fits into memory: nothing but the prefetch limits what is in flight.
 * - Nobody wants to see a rejected message again.
 */
import { type Cause, Effect, Layer, Queue, type Scope, Stream } from "effect"
import {
  Broker,
  BrokerError,
  type Delivery,
  type OutgoingMessage,
  type Settlement,
  Unroutable
} from "../../domain/ports/Broker.ts"

interface Message {
  /** Its place in the queue, kept for when it comes back. */
  readonly place: number
  readonly content: OutgoingMessage
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
  readonly consumer: Consumer
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

const toDelivery = (consumer: Consumer, message: Message): Delivery => {
  const { queue: _, ...content } = message.content
  return {
    ...content,
    id: content.id || undefined,
    attempt: ++message.deliveries,
    receipt: { consumer, message } satisfies Receipt
  }
}

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

const subscribe = (queue: MessageQueue, prefetch: number, deliveries: Consumer["deliveries"]) =>
  Effect.sync(() => {
    const consumer: Consumer = { queue, prefetch, unsettled: new Set(), deliveries }
    queue.consumers.add(consumer)
    dispatch(queue)
    return consumer
  })

const unsubscribe = (consumer: Consumer) =>
  Effect.sync(() => {
    const { queue, unsettled } = consumer
    queue.consumers.delete(consumer)
    giveBack(queue, [...unsettled])
    unsettled.clear()
    dispatch(queue)
  })

const make = (): Broker["Service"] => {
  const queues = new Map<string, MessageQueue>()
  let places = 0

  const find = (name: string) => {
    const queue = queues.get(name)
    return queue === undefined
      ? Effect.fail(new BrokerError({ reason: new Unroutable({ detail: `no queue ${name} in memory` }) }))
      : Effect.succeed(queue)
  }
  const add = (content: OutgoingMessage): void => {
    const message = { ...content, body: content.body.slice(), headers: { ...content.headers } }
    queues.get(content.queue)?.waiting.push({ place: places++, content: message, deliveries: 0 })
  }
  const consume = (
    name: string,
    prefetch: number,
    deliveries: Consumer["deliveries"]
  ): Effect.Effect<Consumer, BrokerError, Scope.Scope> =>
    Effect.flatMap(find(name), (queue) => Effect.acquireRelease(subscribe(queue, prefetch, deliveries), unsubscribe))

  return Broker.of({
    kind: "memory",
    address: "memory",
    ensureQueue: (name) =>
      Effect.sync(() => {
        if (!queues.has(name)) queues.set(name, { waiting: [], consumers: new Set() })
      }),
    deliveries: ({ name }, { prefetch }) =>
      Stream.callback<Delivery, BrokerError>((deliveries) => consume(name, prefetch, deliveries)),
    settle: (settlements) => Effect.sync(() => settle(settlements)),
    publish: (messages) =>
      Effect.suspend(() => {
        messages.forEach(add)
        const names = new Set(messages.map(({ queue }) => queue))
        queues.forEach(dispatch)
        return Effect.forEach(names, find, { discard: true })
      }),
    depth: (name) => Effect.map(find(name), ({ waiting }) => waiting.length),
    status: Effect.succeed("connected")
  })
}

/** An empty broker of its own for each use of the layer. */
export const layer: Layer.Layer<Broker> = Layer.sync(Broker, make)
