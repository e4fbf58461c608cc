/** Where a worker's messages come from, and where they go back to. */
import type { Context, Effect, Stream } from "effect"
import type { Broker, BrokerError, DelayedMessage, Delivery, Settlement, Subscription } from "../domain/ports/Broker.ts"
import type { StoreError } from "../domain/StoreError.ts"

export type SourceError = BrokerError | StoreError

export interface MessageSource {
  readonly deliveries: (options: { readonly prefetch: number }) => Stream.Stream<Delivery, SourceError>
  readonly settle: (settlements: ReadonlyArray<Settlement>) => Effect.Effect<void, SourceError>
  /** How many wait to be handled, those behind a key that waits included. */
  readonly backlog: Effect.Effect<number, SourceError>
  /** Has a delivery come again after a while, with what has changed about it; durable when it returns. */
  readonly deliverLater: (delivery: Delivery, message: DelayedMessage) => Effect.Effect<void, SourceError>
}

/** A subscription as its broker gives it: a message that waits is overtaken by later ones of its key. */
export const ofBroker = (broker: Context.Service.Shape<typeof Broker>, subscription: Subscription): MessageSource => ({
  deliveries: (options) => broker.deliveries(subscription, options),
  settle: broker.settle,
  backlog: broker.backlog(subscription),
  deliverLater: (_, message) => broker.deliverLater(subscription, [message])
})
