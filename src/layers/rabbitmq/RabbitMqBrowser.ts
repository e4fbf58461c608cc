/**
 * A look at what waits in a queue: asked for message by message, each kept from others until the scope closes.
 *
 * ## Assumptions
 * - On a quorum queue a message that is given back counts as delivered once more (before RabbitMQ 4.3): a queue with a
 *   delivery limit drops it at that limit. Without a limit, what was looked at goes behind what nobody looked at.
 */
import type { ChannelModel } from "amqplib"
import { Effect, type Scope, Stream } from "effect"
import type { BrokerError, Browsing, Delivery } from "../../domain/ports/Broker.ts"
import { giveBackAndClose, type RabbitMqConsumer, type Receipt, tagged, toDelivery } from "./RabbitMqConsumer.ts"
import { brokerError } from "./RabbitMqError.ts"
import { headersToRepeat } from "./RabbitMqMessage.ts"
import * as RabbitMqQueues from "./RabbitMqQueues.ts"

// The count of a quorum queue is the broker's, no header of the message.
const lookedAt = (delivery: Delivery): Delivery => ({ ...delivery, headers: headersToRepeat(delivery.headers) })

interface BrowserOptions {
  readonly address: string
  readonly queue: string
}

/** Opens a channel of its own, on which what is not settled is given back at the end. */
export const browse = Effect.fnUntraced(function* (
  model: ChannelModel,
  { address, queue }: BrowserOptions
): Effect.fn.Return<Browsing, BrokerError, Scope.Scope> {
  const waiting = yield* RabbitMqQueues.depth(model, { address, name: queue })
  const failure = brokerError(address, `look at queue ${queue}`)
  let isOpen = true
  const channel = yield* Effect.acquireRelease(
    Effect.tryPromise({ try: () => model.createChannel(), catch: failure }),
    // A word on a channel that the broker has closed would cost the whole connection.
    (channel) => Effect.suspend(() => (isOpen ? giveBackAndClose(channel) : Effect.void))
  )
  channel.on("error", () => {
    isOpen = false
  })
  channel.on("close", () => {
    isOpen = false
  })

  const looker: RabbitMqConsumer = {
    settle: (settlements) => {
      for (const { delivery, outcome } of settlements) {
        const message = tagged((delivery.receipt as Receipt).tag)
        if (!isOpen || outcome === "return") continue
        if (outcome === "done") channel.ack(message)
        else channel.nack(message, false, false)
      }
    }
  }
  // Not to be interrupted: a message that arrives for nobody would be given back all the same, but a moment too late.
  const next = Effect.uninterruptible(Effect.tryPromise({ try: () => channel.get(queue), catch: failure }))
  const take = (left: number): Effect.Effect<readonly [Delivery, number] | undefined, BrokerError> =>
    left === 0
      ? Effect.undefined
      : Effect.map(next, (message) =>
          message === false ? undefined : ([lookedAt(toDelivery(message, looker, queue)), left - 1] as const)
        )
  return { waiting, messages: Stream.unfold(waiting, take) }
})
