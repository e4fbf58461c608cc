/** How a channel is subscribed to a queue, so that the bytes in hand stay below their limit. */
import type { Channel, ConsumeMessage } from "amqplib"
import { Array as Arr } from "effect"
import type { Settlement } from "../../domain/ports/Broker.ts"
import * as Flow from "./Flow.ts"

export interface SubscriptionOptions {
  readonly queue: string
  /** Messages in hand, at most. */
  readonly prefetch: number
  /** Their bodies, in bytes. */
  readonly maxBytesInFlight: number
}

/** What becomes of a subscription. */
export interface Handlers {
  readonly onDelivery: (message: ConsumeMessage) => void
  /** A delivery beyond the limit of bytes. */
  readonly onOverflow: (message: ConsumeMessage) => void
  /** After an overflow, of one that is ordered: nothing is in hand any more. */
  readonly onDrained: () => void
  readonly onCancelled: () => void
  readonly onFailure: (cause: unknown) => void
}

const limitsOf = ({ maxBytesInFlight, prefetch }: SubscriptionOptions): Flow.FlowLimits => ({
  maxPrefetch: prefetch,
  maxBytes: maxBytesInFlight
})

const bytesOf = (settlements: ReadonlyArray<Settlement>): number =>
  Arr.reduce(settlements, 0, (bytes, { delivery }) => bytes + delivery.body.length)

/**
 * Subscribes once: to give it up while something is in hand would let another consumer have what follows. What comes
 * beyond the limit of bytes is not kept; it comes again to whoever subscribes next.
 */
export const holding = (channel: Channel, options: SubscriptionOptions, handlers: Handlers) => {
  const limits = limitsOf(options)
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
export const adapting = (channel: Channel, options: SubscriptionOptions, handlers: Handlers) => {
  const limits = limitsOf(options)
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
