/** The broker port on RabbitMQ. Deliveries come on one connection, publishing goes out on another. */
import { Array as Arr, Effect, Layer, Stream } from "effect"
import {
  Broker,
  type BrokerError,
  type Delivery,
  groupQueue,
  queueOf,
  type Settlement
} from "../../domain/ports/Broker.ts"
import * as Availability from "../../streams/Availability.ts"
import * as RabbitMqBrowser from "./RabbitMqBrowser.ts"
import * as RabbitMqConfirms from "./RabbitMqConfirms.ts"
import * as RabbitMqConnection from "./RabbitMqConnection.ts"
import * as RabbitMqConsumer from "./RabbitMqConsumer.ts"
import * as RabbitMqDelays from "./RabbitMqDelays.ts"
import * as RabbitMqPartitions from "./RabbitMqPartitions.ts"
import * as RabbitMqPublisher from "./RabbitMqPublisher.ts"
import * as RabbitMqQueues from "./RabbitMqQueues.ts"
import * as RabbitMqTopics from "./RabbitMqTopics.ts"

export interface RabbitMqOptions extends RabbitMqConnection.Place {
  /** How to declare a queue that is missing: classic by default. */
  readonly queueType: RabbitMqQueues.QueueType | undefined
  /** The topic exchange. */
  readonly exchange: string
  /** Bodies of one consumer that may be in hand at a time, in bytes. */
  readonly maxBytesInFlight: number
}

const settle = (settlements: ReadonlyArray<Settlement>): void => {
  const byConsumer = Map.groupBy(settlements, ({ delivery }) => receiptOf(delivery).consumer)
  for (const [consumer, own] of byConsumer) consumer.settle(own)
}

const receiptOf = (delivery: Delivery) => delivery.receipt as RabbitMqConsumer.Receipt

const make = Effect.fnUntraced(function* (options: RabbitMqOptions) {
  const { address } = options
  const availability = Availability.make("RabbitMQ", address)
  const consuming = yield* RabbitMqConnection.make({ ...options, availability, purpose: "consume" })
  const publishing = yield* RabbitMqConnection.make({ ...options, availability, purpose: "publish" })
  const send = yield* RabbitMqConfirms.make(publishing, address)
  const topics = RabbitMqTopics.make(publishing, send, options)
  const depth = (name: string) =>
    Effect.flatMap(publishing.get, (model) => RabbitMqQueues.depth(model, { address, name }))
  const consume = (consumer: RabbitMqConsumer.ConsumerOptions) =>
    Stream.callback<Delivery, BrokerError>((queue) =>
      Effect.flatMap(consuming.get, (model) => RabbitMqConsumer.consume(model, consumer, queue))
    )

  return Broker.of({
    kind: "rabbitmq",
    address,
    ensureQueue: (name) =>
      Effect.flatMap(publishing.get, (model) =>
        RabbitMqQueues.ensure(model, { address, name, type: options.queueType ?? "classic" })
      ),
    deliveries: (subscription, { prefetch }) =>
      Stream.unwrap(
        Effect.map(queueOf(address, subscription), ({ name, ordered }) =>
          ordered === undefined
            ? consume({ ...options, queue: name, prefetch })
            : RabbitMqPartitions.deliveries({ ...options, name, ordered }, send, settle, (own) =>
                consume({ address, ...own, isOrdered: true })
              )
        )
      ),
    settle: (settlements) => Effect.sync(() => settle(settlements)),
    publish: RabbitMqPublisher.make(send),
    subscribe: topics.subscribe,
    publishToTopics: topics.publish,
    joinsCalls: true,
    deliverLater: RabbitMqDelays.make(publishing, send, address),
    lookUp: (topic, group) => {
      const name = groupQueue(topic, group)
      return Effect.as(depth(name), { _tag: "Queue", name } as const)
    },
    browse: (queue) => Effect.flatMap(consuming.get, (model) => RabbitMqBrowser.browse(model, { address, queue })),
    depth,
    backlog: (subscription) =>
      Effect.flatMap(queueOf(address, subscription), ({ name, ordered }) =>
        Effect.map(
          Effect.forEach(RabbitMqPartitions.queuesOf({ name, ordered }), depth),
          Arr.reduce(0, (sum, one) => sum + one)
        )
      ),
    status: Effect.map(availability.current, (state) => (state === "connected" ? "connected" : "away"))
  })
})

/** Connects when first used; a broker that is away at start is no error here. */
export const layer = (options: RabbitMqOptions): Layer.Layer<Broker> => Layer.effect(Broker, make(options))
