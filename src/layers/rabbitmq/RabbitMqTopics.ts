/**
 * Topics are routing keys on one durable topic exchange, and a group is a queue bound by such a key. What nobody is
 * bound to is kept in a queue of its own, and counted.
 */
import type { ChannelModel } from "amqplib"
import { Effect, Metric } from "effect"
import {
  type BrokerError,
  groupQueue,
  type Ordered,
  type Subscription,
  type TopicMessage
} from "../../domain/ports/Broker.ts"
import { seriesOf } from "../../streams/MetricSeries.ts"
import type { Send } from "./RabbitMqConfirms.ts"
import type { RabbitMqConnection } from "./RabbitMqConnection.ts"
import { type Envelope, toQueue } from "./RabbitMqMessage.ts"
import * as RabbitMqPartitions from "./RabbitMqPartitions.ts"
import { refuseReturned } from "./RabbitMqPublisher.ts"
import * as RabbitMqQueues from "./RabbitMqQueues.ts"

export interface TopicOptions {
  readonly address: string
  /** Made, durable and without arguments, where it is missing. */
  readonly exchange: string
  readonly queueType: RabbitMqQueues.QueueType | undefined
}

const unrouted = seriesOf(["topic"], (attributes) =>
  Metric.counter("paystream_unrouted_total", {
    description: "Messages published to a topic that nobody is bound to, kept in the exchange's queue for them",
    attributes,
    incremental: true
  })
)

/** Tells, of a message in the queue for what nobody is bound to, where it was to go. */
const topicHeader = "x-paystream-topic"

/** Subscribing and publishing on one exchange. */
export const make = (connection: RabbitMqConnection, send: Send, options: TopicOptions) => {
  const { exchange } = options
  const unroutedQueue = `${exchange}.unrouted`
  const declaredOn = new Map<string, ChannelModel>()

  const ensureExchange = Effect.fnUntraced(function* (model: ChannelModel, name: string) {
    if (declaredOn.get(name) !== model) yield* RabbitMqQueues.ensureExchange(model, { ...options, name })
    declaredOn.set(name, model)
  })

  // Should one have gone since, the attempt that fails is the one that has it made again.
  const withExchanges = <A>(
    names: Iterable<string>,
    use: (model: ChannelModel) => Effect.Effect<A, BrokerError>
  ): Effect.Effect<A, BrokerError> =>
    Effect.gen(function* () {
      const model = yield* connection.get
      yield* connection.whenUnblocked
      for (const name of names) yield* ensureExchange(model, name)
      return yield* use(model)
    }).pipe(Effect.tapError(() => Effect.sync(() => declaredOn.clear())))
  const ensure = (model: ChannelModel, name: string) =>
    RabbitMqQueues.ensure(model, { ...options, name, type: options.queueType ?? "classic" })
  const ensureOrdered = (model: ChannelModel, name: string, ordered: Ordered) =>
    RabbitMqPartitions.declare(model, { ...options, name, ordered, type: options.queueType ?? "classic" })

  const keepUnrouted = (model: ChannelModel, returned: ReadonlyArray<Envelope>) => {
    const kept = returned.map(({ content, routingKey }) =>
      toQueue(unroutedQueue, { ...content, headers: { ...content.headers, [topicHeader]: routingKey } })
    )
    return send(kept).pipe(
      // Made when it is missed: once in its life.
      Effect.filterOrElse(
        (again) => again.length === 0,
        (again) => Effect.andThen(ensure(model, unroutedQueue), send(again))
      ),
      Effect.flatMap(refuseReturned),
      Effect.andThen(Effect.forEach(returned, countUnrouted, { discard: true }))
    )
  }

  return {
    subscribe: (
      topic: string,
      group: string | undefined,
      { ordered }: { readonly ordered?: Ordered | undefined } = {}
    ): Effect.Effect<Subscription, BrokerError> =>
      withExchanges([exchange], (model) => {
        const name = groupQueue(topic, group)
        const subscription: Subscription = { _tag: "Queue", name, ...(ordered && { ordered }) }
        return (ordered ? ensureOrdered(model, name, ordered) : ensure(model, name)).pipe(
          Effect.andThen(RabbitMqQueues.bind(model, { ...options, name, topic })),
          Effect.as(subscription)
        )
      }),
    publish: (messages: ReadonlyArray<TopicMessage>): Effect.Effect<void, BrokerError> =>
      withExchanges(new Set([exchange, ...messages.map((message) => message.exchange ?? exchange)]), (model) =>
        messages.length === 0
          ? Effect.void
          : send(
              messages.map((content) => ({
                exchange: content.exchange ?? exchange,
                routingKey: content.topic,
                content
              }))
            ).pipe(Effect.flatMap((returned) => (returned.length === 0 ? Effect.void : keepUnrouted(model, returned))))
      )
  }
}

const countUnrouted = ({ routingKey }: Envelope) => Metric.update(unrouted(routingKey), 1)
