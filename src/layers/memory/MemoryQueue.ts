/** A queue in memory: what waits in it, who consumes it, and what goes from one to the other. */
import { type Cause, Effect, Queue, type Scope, Stream } from "effect"
import type { BrokerError, Browsing, Delivery, MessageContent, Settlement } from "../../domain/ports/Broker.ts"

interface Message {
  /** Its place in the queue, kept for when it comes back. */
  readonly place: number
  readonly content: MessageContent
  deliveries: number
}

export interface MessageQueue {
  /** Whether a key is with one consumer at a time, one message of it. */
  readonly isOrdered: boolean
  /** Keys of unsettled messages. */
  readonly busy: Set<unknown>
  waiting: Array<Message>
  readonly consumers: Set<Consumer>
}

export interface Consumer {
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
export const dispatch = (queue: MessageQueue): void => {
  for (let consumer = leastBusy(queue); consumer !== undefined; consumer = leastBusy(queue)) {
    const message = takeNext(queue)
    if (message === undefined) return
    consumer.unsettled.add(message)
    Queue.offerUnsafe(consumer.deliveries, toDelivery(consumer, message))
  }
}

const keyOf = ({ content }: Message): unknown => content.headers.key

const takeNext = (queue: MessageQueue): Message | undefined => {
  if (!queue.isOrdered) return queue.waiting.shift()
  const place = queue.waiting.findIndex((message) => !queue.busy.has(keyOf(message)))
  const [message] = place < 0 ? [] : queue.waiting.splice(place, 1)
  if (message !== undefined && keyOf(message) !== undefined) queue.busy.add(keyOf(message))
  return message
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
export const copy = (message: MessageContent): MessageContent => {
  const { id, body, headers, contentType, properties, publishedAtMillis } = message
  return {
    id,
    body: body.slice(),
    headers: { ...headers },
    contentType,
    publishedAtMillis,
    ...(properties === undefined ? {} : { properties })
  }
}

const giveBack = (queue: MessageQueue, messages: ReadonlyArray<Message>): void => {
  queue.waiting = [...messages, ...queue.waiting].sort((one, other) => one.place - other.place)
}

export const settle = (settlements: ReadonlyArray<Settlement>): void => {
  const held = settlements
    .map(({ delivery, outcome }) => ({ ...(delivery.receipt as Receipt), outcome }))
    .filter(({ consumer, message }) => consumer.unsettled.delete(message))
  for (const { consumer, message } of held) consumer.queue.busy.delete(keyOf(message))
  for (const [queue, own] of Map.groupBy(held, ({ consumer }) => consumer.queue)) {
    giveBack(
      queue,
      own.filter(({ outcome }) => outcome === "return").map(({ message }) => message)
    )
    dispatch(queue)
  }
}

export const attach = (queue: MessageQueue, prefetch: number, deliveries: Consumer["deliveries"]) =>
  Effect.sync(() => {
    const consumer: Consumer = { queue, prefetch, unsettled: new Set(), deliveries }
    queue.consumers.add(consumer)
    dispatch(queue)
    return consumer
  })

export const detach = (consumer: Consumer) =>
  Effect.sync(() => {
    const { queue, unsettled } = consumer
    queue.consumers.delete(consumer)
    giveBack(queue, [...unsettled])
    for (const message of unsettled) queue.busy.delete(keyOf(message))
    unsettled.clear()
    dispatch(queue)
  })

/** Who looks takes what waits, one by one, out of everybody's sight, and puts back what is left. */
export const browse = (queue: MessageQueue): Effect.Effect<Browsing, never, Scope.Scope> =>
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
