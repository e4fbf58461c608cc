/** One consumer on one channel: deliveries in, acknowledgements out. It ends with its channel; supervision makes the next. */
import type { Channel, ChannelModel, ConsumeMessage, Message } from "amqplib"
import { Array as Arr, Cause, Effect, Queue, Result, type Scope } from "effect"
import type { BrokerError, Delivery, Settlement } from "../../domain/ports/Broker.ts"
import { shownId } from "../../streams/MessageIds.ts"
import * as Flow from "./Flow.ts"
import { away, brokerError } from "./RabbitMqError.ts"
import { headersAfterDelay, headersWithoutConfirm } from "./RabbitMqMessage.ts"
import * as Watermark from "./Watermark.ts"

/** What a delivery of this layer carries as its receipt. */
export interface Receipt {
  readonly consumer: RabbitMqConsumer
  readonly tag: number
}

export interface RabbitMqConsumer {
  /** Settles deliveries of this consumer; none after its channel is gone, since the broker gives them out again. */
  readonly settle: (settlements: ReadonlyArray<Settlement>) => void
}

export interface ConsumerOptions {
  readonly address: string
  readonly queue: string
  readonly prefetch: number
  readonly maxBytesInFlight: number
  /** Deliveries come in the queue's order, whatever happens: it is let go of only with nothing in hand, or all at once. */
  readonly isOrdered?: boolean
}

// Seconds by the protocol; some publishers send milliseconds, which as seconds would lie beyond the year 5000.
const timestampMillis = (timestamp: unknown): number | undefined =>
  typeof timestamp !== "number" ? undefined : timestamp > 100_000_000_000 ? timestamp : timestamp * 1000

const deliveryCount = (message: Message): number => {
  const counted = Number(message.properties.headers?.["x-delivery-count"])
  return Number.isSafeInteger(counted) ? counted + 1 : message.fields.redelivered ? 2 : 1
}

/** The delivery that a message of this queue is. */
export const toDelivery = (message: Message, consumer: RabbitMqConsumer, queue: string): Delivery => {
  const { headers, ...properties } = message.properties
  return {
    id: properties.messageId || undefined,
    body: message.content,
    headers: headersAfterDelay(headersWithoutConfirm(headers ?? {}), queue),
    contentType: properties.contentType,
    publishedAtMillis: timestampMillis(properties.timestamp),
    properties,
    attempt: deliveryCount(message),
    receipt: { consumer, tag: message.fields.deliveryTag } satisfies Receipt
  }
}

/**
 * Puts deliveries into `deliveries` until the scope closes, which gives back what is unsettled. An ordered one ends when
 * it has to begin anew: too much was delivered, and what was in hand is settled.
 */
export const consume = Effect.fnUntraced(function* (
  model: ChannelModel,
  options: ConsumerOptions,
  deliveries: Queue.Queue<Delivery, BrokerError | Cause.Done>
): Effect.fn.Return<void, BrokerError, Scope.Scope> {
  const doing = `consume ${options.queue}`
  const failure = brokerError(options.address, doing)
  const attempt = <A>(evaluate: () => Promise<A>) => Effect.tryPromise({ try: evaluate, catch: failure })
  let isOpen = true
  const fail = (error: BrokerError): void => {
    Queue.failCauseUnsafe(deliveries, Cause.fail(error))
  }
  const ended = (error: BrokerError): void => {
    isOpen = false
    fail(error)
  }

  const channel = yield* Effect.acquireRelease(
    attempt(() => model.createChannel()),
    (channel) =>
      Effect.suspend(() => {
        // A word on a channel that the broker has closed would cost the whole connection.
        if (!isOpen) return Effect.void
        isOpen = false
        return options.isOrdered ? quietly(() => channel.close()) : giveBackAndClose(channel)
      })
  )
  channel.on("error", (error: Error) => ended(failure(error)))
  channel.on("close", () => ended(away(options.address, `${doing}: the channel was closed`)))

  const watermark = Watermark.make()
  const warnOnce = yield* climbingWarning(options.queue)
  const subscription = (options.isOrdered ? holding : subscribing)(channel, options, {
    onDelivery: (message) => {
      const delivery = toDelivery(message, consumer, options.queue)
      Queue.offerUnsafe(deliveries, delivery)
      warnOnce(delivery)
    },
    onOverflow: (message) => {
      watermark.skip([message.fields.deliveryTag])
      channel.nack(message, false, true)
    },
    onDrained: () => Queue.endUnsafe(deliveries),
    onCancelled: () => fail(away(options.address, `${doing}: cancelled by the broker (queue deleted or moved)`)),
    onFailure: (cause) => fail(failure(cause))
  })
  const consumer: RabbitMqConsumer = {
    settle: (settlements) => {
      if (!isOpen) return
      // Returned one by one, a message may come behind later ones: closing gives back all of them, where they were.
      settleOn(
        channel,
        watermark,
        options.isOrdered ? settlements.filter(({ outcome }) => outcome !== "return") : settlements
      )
      subscription.settled(settlements)
    }
  }
  // Unsubscribed first: what is given back to a queue that we still consume would come straight back to us.
  yield* Effect.addFinalizer(() => Effect.suspend(() => (isOpen ? quietly(subscription.stop) : Effect.void)))
  yield* attempt(subscription.start)
})

/** So many times back, and a quorum queue is halfway to dropping the message (RabbitMQ 4: after 20 by default). */
const climbingAttempts = 10

const climbingWarning = Effect.fnUntraced(function* (queue: string) {
  const run = Effect.runForkWith(yield* Effect.context())
  let warned = false
  return (delivery: Delivery): void => {
    if (warned || delivery.attempt < climbingAttempts) return
    warned = true
    const messageId = shownId(delivery.id)
    const text = `queue ${queue} gives out a message for the ${delivery.attempt}th time; check its x-delivery-limit: at the limit the broker drops it`
    run(Effect.annotateLogs(Effect.logWarning(text), { messageId }))
  }
})

const tagOf = ({ delivery }: Settlement): number => (delivery.receipt as Receipt).tag

const settleOn = (channel: Channel, watermark: Watermark.Watermark, settlements: ReadonlyArray<Settlement>): void => {
  const [done, others] = Arr.partition(settlements, (one) =>
    one.outcome === "done" ? Result.succeed(one) : Result.fail(one)
  )
  for (const settlement of others) channel.nack(tagged(tagOf(settlement)), false, settlement.outcome === "return")
  watermark.skip(others.map(tagOf))
  const { single, upTo } = watermark.acknowledge(done.map(tagOf))
  if (upTo !== undefined) channel.ack(tagged(upTo), true)
  for (const tag of single) channel.ack(tagged(tag))
}

interface Handlers {
  readonly onDelivery: (message: ConsumeMessage) => void
  /** A delivery beyond the limit of bytes. */
  readonly onOverflow: (message: ConsumeMessage) => void
  /** After an overflow, of one that is ordered: nothing is in hand any more. */
  readonly onDrained: () => void
  readonly onCancelled: () => void
  readonly onFailure: (cause: unknown) => void
}

const bytesOf = (settlements: ReadonlyArray<Settlement>): number =>
  Arr.reduce(settlements, 0, (bytes, { delivery }) => bytes + delivery.body.length)

/**
 * Subscribes once: to give it up while something is in hand would let another consumer have what follows. What comes
 * beyond the limit of bytes is not kept; it comes again to whoever subscribes next.
 */
const holding = (channel: Channel, options: ConsumerOptions, handlers: Handlers) => {
  const limits: Flow.FlowLimits = { maxPrefetch: options.prefetch, maxBytes: options.maxBytesInFlight }
  let flow = Flow.start(limits)
  let inHand = 0

  const onMessage = (message: ConsumeMessage | null): void => {
    if (message === null) handlers.onCancelled()
    else if (!flow.paused) {
      flow = Flow.take(limits, flow, message.content.length)
      inHand++
      handlers.onDelivery(message)
    }
  }
  return {
    start: async () => {
      await channel.prefetch(options.prefetch)
      await channel.consume(options.queue, onMessage)
    },
    stop: async () => undefined,
    settled: (settlements: ReadonlyArray<Settlement>): void => {
      flow = Flow.settle(flow, bytesOf(settlements))
      inHand -= settlements.length
      if (flow.paused && inHand === 0) handlers.onDrained()
    }
  }
}

/** Subscribes, and again with another prefetch as the sizes of the bodies ask for it. */
const subscribing = (channel: Channel, options: ConsumerOptions, handlers: Handlers) => {
  const limits: Flow.FlowLimits = { maxPrefetch: options.prefetch, maxBytes: options.maxBytesInFlight }
  let flow = Flow.start(limits)
  let consumerTag: string | undefined

  const onMessage = (message: ConsumeMessage | null): void => {
    if (message === null) handlers.onCancelled()
    else if (flow.paused) handlers.onOverflow(message)
    else {
      flow = Flow.take(limits, flow, message.content.length)
      if (flow.paused) unsubscribe().catch(handlers.onFailure)
      handlers.onDelivery(message)
    }
  }
  const subscribe = async () => {
    await channel.prefetch(flow.prefetch)
    consumerTag = (await channel.consume(options.queue, onMessage)).consumerTag
  }
  const unsubscribe = async () => {
    const tag = consumerTag
    consumerTag = undefined
    if (tag !== undefined) await channel.cancel(tag)
  }

  return {
    start: subscribe,
    stop: unsubscribe,
    settled: (settlements: ReadonlyArray<Settlement>): void => {
      flow = Flow.settle(flow, bytesOf(settlements))
      // While a change is under way, wait: the next settlement asks again.
      if (!Flow.shouldResume(limits, flow) || (!flow.paused && consumerTag === undefined)) return
      flow = Flow.resume(limits, flow)
      unsubscribe().then(subscribe).catch(handlers.onFailure)
    }
  }
}

/** What stands for a message where amqplib needs only its tag. */
export const tagged = (deliveryTag: number) => ({ fields: { deliveryTag } }) as ConsumeMessage

const quietly = (evaluate: () => Promise<void>) =>
  Effect.timeoutOption(Effect.ignore(Effect.tryPromise(evaluate)), "5 seconds")

/** Returned by name and not by closing: from RabbitMQ 4.3 on, a closed channel counts against a delivery limit. */
export const giveBackAndClose = (channel: Channel) =>
  quietly(async () => {
    channel.nackAll(true)
    await channel.close()
  })
