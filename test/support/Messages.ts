/** Messages to publish, and queues emptied to look at what is in them. */
import { Effect, Stream } from "effect"
import { Broker, type Delivery, type OutgoingMessage, type Subscription } from "../../src/domain/ports/Broker.ts"

const encoder = new TextEncoder()

/** Bytes of a body written as text. */
export const bytes = (text: string): Uint8Array => encoder.encode(text)

/** The text of a body. */
export const text = (body: Uint8Array): string => new TextDecoder().decode(body)

/** A message with only what a test cares about. */
export const message = (queue: string, fields: Partial<OutgoingMessage> = {}): OutgoingMessage => ({
  queue,
  id: undefined,
  body: bytes("{}"),
  headers: {},
  contentType: undefined,
  publishedAtMillis: undefined,
  ...fields
})

/** A delivery that no broker made, for what only looks at it. */
export const delivery = (fields: Partial<Delivery> = {}): Delivery => {
  const { queue: _, ...content } = message("", fields)
  return { ...content, attempt: 1, receipt: undefined, ...fields }
}

const subscriptionOf = (queue: string | Subscription): Subscription =>
  typeof queue === "string" ? { _tag: "Queue", name: queue } : queue

/** The first deliveries of a queue or a subscription, handed to `use` while they are unsettled. */
export const withDeliveries = <A, E, R>(
  queue: string | Subscription,
  count: number,
  use: (deliveries: ReadonlyArray<Delivery>) => Effect.Effect<A, E, R>
) =>
  Effect.flatMap(Broker, (broker) =>
    broker
      .deliveries(subscriptionOf(queue), { prefetch: Math.max(1, count) })
      .pipe(
        Stream.rechunk(1),
        Stream.take(count),
        Stream.sliding(Math.max(1, count)),
        Stream.mapEffect(use),
        Stream.runHead,
        Effect.flatMap(Effect.fromOption)
      )
  )

/** Takes so many deliveries and settles them as done. */
export const take = (queue: string | Subscription, count: number) =>
  count === 0
    ? Effect.succeed([])
    : withDeliveries(queue, count, (deliveries) =>
        Effect.flatMap(Broker, (broker) =>
          Effect.as(broker.settle(deliveries.map((one) => ({ delivery: one, outcome: "done" }))), deliveries)
        )
      )

/** All that waits in a queue, taken out of it. */
export const takeAll = (queue: string) =>
  Effect.flatMap(Broker, (broker) => Effect.flatMap(broker.depth(queue), (depth) => take(queue, depth)))
