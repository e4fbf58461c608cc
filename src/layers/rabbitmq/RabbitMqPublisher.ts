/** Publishes to queues: each message is taken by its queue, or the publisher hears that there is none. */
import { Effect } from "effect"
import { BrokerError, type OutgoingMessage, Unroutable } from "../../domain/ports/Broker.ts"
import type { Send } from "./RabbitMqConfirms.ts"
import { type Envelope, toQueue } from "./RabbitMqMessage.ts"

/** Fails for the first of those that came back, if any did. */
export const refuseReturned = ([first]: ReadonlyArray<Envelope>): Effect.Effect<void, BrokerError> => {
  if (first === undefined) return Effect.void
  const detail = `no queue ${first.routingKey} takes the message; it was not published`
  return Effect.fail(new BrokerError({ reason: new Unroutable({ detail }) }))
}

/** Publishes messages for queues that are there. */
export const make =
  (send: Send) =>
  (messages: ReadonlyArray<OutgoingMessage>): Effect.Effect<void, BrokerError> =>
    Effect.flatMap(send(messages.map((message) => toQueue(message.queue, message))), refuseReturned)
