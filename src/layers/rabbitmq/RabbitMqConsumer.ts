/** One consumer on one channel: deliveries in, acknowledgements out. It ends with its channel; supervision makes the next. */
import type { Channel, ChannelModel, ConsumeMessage, Message } from "amqplib"
import { Array as Arr, Cause, Effect, Queue, Result, type Scope } from "effect"
import type { BrokerError, Delivery, Settlement } from "../../domain/ports/Broker.ts"
import { shownId } from "../../streams/MessageIds.ts"
import { close } from "./Closing.ts"
import { away, brokerError } from "./RabbitMqError.ts"
import { headersAfterDelay, headersWithoutConfirm } from "./RabbitMqMessage.ts"
import * as RabbitMqSubscription from "./RabbitMqSubscription.ts"
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

export interface ConsumerOptions extends RabbitMqSubscription.SubscriptionOptions {
  readonly address: string
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
  const run = Effect.runForkWith(yield* Effect.context())
  const { fail, interrupted, subscribed } = endingOf(deliveries, run)
  let isOpen = true

  const channel = yield* Effect.acquireRelease(
    attempt(() => model.createChannel()),
    (channel) =>
      Effect.suspend(() => {
        // A word on a channel that the broker has closed would cost the whole connection.
        if (!isOpen) return Effect.void
        isOpen = false
        return options.isOrdered ? quietly(() => close(channel)) : giveBackAndClose(channel)
      })
  )
  channel.on("error", (error: Error) => {
    isOpen = false
    interrupted(failure(error))
  })
  channel.on("close", () => {
    isOpen = false
    fail(away(options.address, `${doing}: the channel was closed`))
  })

  const watermark = Watermark.make()
  const warnOfClimbing = climbingWarning(options.queue, run)
  const subscribe = options.isOrdered ? RabbitMqSubscription.holding : RabbitMqSubscription.adapting
  const subscription = subscribe(channel, options, {
    onDelivery: (message) => {
      const delivery = toDelivery(message, consumer, options.queue)
      Queue.offerUnsafe(deliveries, delivery)
      warnOfClimbing(delivery)
    },
    onOverflow: (message) => {
      watermark.skip([message.fields.deliveryTag])
      channel.nack(message, false, true)
    },
    onDrained: () => Queue.endUnsafe(deliveries),
    onCancelled: () => interrupted(away(options.address, `${doing}: cancelled by the broker (queue deleted or moved)`)),
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
  subscribed()
})

type Run = (effect: Effect.Effect<void>) => unknown

/** How deliveries end before their time. What happens to the channel alone is said here: the connection knows nothing of it. */
const endingOf = (deliveries: Queue.Queue<Delivery, BrokerError | Cause.Done>, run: Run) => {
  let isSubscribed = false
  const fail = (error: BrokerError): void => {
    Queue.failCauseUnsafe(deliveries, Cause.fail(error))
  }
  return {
    fail,
    subscribed: (): void => {
      isSubscribed = true
    },
    // Before it has begun it is an attempt, which may fail again and again: those are the supervisor's to tell of.
    interrupted: (error: BrokerError): void => {
      if (isSubscribed && error.isRetryable) run(Effect.logWarning(`${error.message}; subscribing again`))
      isSubscribed = false
      fail(error)
    }
  }
}

/** So many times back, and a quorum queue is halfway to dropping the message (RabbitMQ 4: after 20 by default). */
const climbingAttempts = 10

/** Warns of the first delivery that has come so often. */
const climbingWarning = (queue: string, run: Run) => {
  let warned = false
  return (delivery: Delivery): void => {
    if (warned || delivery.attempt < climbingAttempts) return
    warned = true
    const messageId = shownId(delivery.id)
    const text = `queue ${queue} gives out a message for the ${delivery.attempt}th time; check its x-delivery-limit: at the limit the broker drops it`
    run(Effect.annotateLogs(Effect.logWarning(text), { messageId }))
  }
}

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

/** What stands for a message where amqplib needs only its tag. */
export const tagged = (deliveryTag: number) => ({ fields: { deliveryTag } }) as ConsumeMessage

const quietly = (evaluate: () => Promise<void>) =>
  Effect.timeoutOption(Effect.ignore(Effect.tryPromise(evaluate)), "5 seconds")

/** Returned by name and not by closing: from RabbitMQ 4.3 on, a closed channel counts against a delivery limit. */
export const giveBackAndClose = (channel: Channel) =>
  quietly(async () => {
    channel.nackAll(true)
    await close(channel)
  })
