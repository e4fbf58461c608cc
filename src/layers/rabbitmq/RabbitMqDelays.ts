/**
 * Messages that wait at the broker: one quorum queue per delay, from which they go straight to the queue that they are
 * for, and stay until it has them.
 *
 * ## Assumptions
 * - The broker knows at-least-once dead-lettering (RabbitMQ 3.10 and later, feature flag `stream_queue`).
 * - The queue that they are for comes back within a day, should it be deleted.
 */
import { Clock, Duration, Effect } from "effect"
import { type BrokerError, type DelayedMessage, queueOf, type Subscription } from "../../domain/ports/Broker.ts"
import type { Send } from "./RabbitMqConfirms.ts"
import type { RabbitMqConnection } from "./RabbitMqConnection.ts"
import { delayQueuePrefix, type Envelope, headersForDelay, headersToRepeat, toQueue } from "./RabbitMqMessage.ts"
import { refuseReturned } from "./RabbitMqPublisher.ts"
import * as RabbitMqQueues from "./RabbitMqQueues.ts"

const dayMillis = 86_400_000
/** Delays are rounded up to this, so that there are not as many queues as messages. */
const stepMillis = 100
/** The broker's timers have 32 bits: a longer delay, 48 days, is cut. */
const longestMillis = Math.floor((2 ** 32 - 1 - dayMillis) / stepMillis) * stepMillis
/** Far less than the day for which a queue outlives its last message. */
const declaredForMillis = 3_600_000
/** Names remembered as declared; declaring one again does no harm. */
const mostRemembered = 10_000

interface Waiting extends Envelope {
  /** 0: it does not wait. */
  readonly millis: number
}

const roundedMillis = (delay: Duration.Duration): number =>
  Math.min(Math.ceil(Duration.toMillis(delay) / stepMillis) * stepMillis, longestMillis)

const waitingIn = (queue: string, { delay, ...message }: DelayedMessage): Waiting => {
  const millis = roundedMillis(delay)
  const content = { ...message, headers: headersToRepeat(message.headers) }
  if (millis === 0) return { ...toQueue(queue, content), millis }
  const delayed = { ...content, headers: headersForDelay(content.headers) }
  return { ...toQueue(`${delayQueuePrefix(queue)}${millis}`, delayed), millis }
}

const argumentsFor = (queue: string, millis: number) => ({
  "x-queue-type": "quorum",
  "x-message-ttl": millis,
  "x-dead-letter-exchange": "",
  "x-dead-letter-routing-key": queue,
  "x-dead-letter-strategy": "at-least-once",
  // The strategy above asks for it.
  "x-overflow": "reject-publish",
  "x-expires": millis + dayMillis
})

/** Delivers to a queue, later. */
export const make = (connection: RabbitMqConnection, send: Send, address: string) => {
  const declaredAt = new Map<string, number>()

  const declare = Effect.fnUntraced(function* (queue: string, { millis, routingKey }: Waiting) {
    const now = yield* Clock.currentTimeMillis
    const model = yield* connection.get
    yield* connection.whenUnblocked
    yield* RabbitMqQueues.declare(model, { address, name: routingKey, arguments: argumentsFor(queue, millis) })
    if (declaredAt.size >= mostRemembered) declaredAt.clear()
    declaredAt.set(routingKey, now)
  })
  const declareAll = (queue: string, waiting: ReadonlyArray<Waiting>) => {
    const missing = new Map(waiting.filter(({ millis }) => millis > 0).map((one) => [one.routingKey, one]))
    return Effect.forEach(missing.values(), (one) => declare(queue, one), { discard: true })
  }
  const isStale = (now: number) => (one: Waiting) =>
    now - (declaredAt.get(one.routingKey) ?? -Infinity) > declaredForMillis

  return Effect.fnUntraced(function* (
    subscription: Subscription,
    messages: ReadonlyArray<DelayedMessage>
  ): Effect.fn.Return<void, BrokerError> {
    const { name: queue } = yield* queueOf(address, subscription)
    const waiting = messages.map((message) => waitingIn(queue, message))
    yield* declareAll(queue, waiting.filter(isStale(yield* Clock.currentTimeMillis)))
    const returned = yield* send(waiting)
    if (returned.length === 0) return
    // Somebody has deleted the queue that we remember.
    const again = waiting.filter((one) => returned.includes(one))
    yield* declareAll(queue, again)
    yield* Effect.flatMap(send(again), refuseReturned)
  })
}
