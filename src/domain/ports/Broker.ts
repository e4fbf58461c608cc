/**
 * What the streams need from a message broker.
 *
 * ## Guarantees
 * - At least once: a delivery that is not settled comes again, to this consumer or to another.
 * - `publish` returns only when the broker has taken responsibility for every message; a message for a queue that does
 *   not exist is an error, never a silent loss.
 * - Back-pressure: at most `prefetch` deliveries, and the layer's limit of bytes, are unsettled at any time; of an ordered
 *   subscription maybe more, where the broker's order depends on a number that all consumers share.
 * - Closing the scope of `deliveries` gives back what is unsettled.
 * - Of an ordered subscription, the messages of one key reach one consumer at a time, in the order of their publishing
 *   by one publisher, whatever crashes in between: what comes again comes with all that followed it. Its consumers
 *   settle the deliveries of a key in their order.
 *
 * ## Assumptions
 * - Every delivery is settled at most once, through the broker that handed it out.
 * - A consumer tolerates repeats: identity (`id`) is what makes them harmless.
 */
import { Context, type Duration, Effect, Schema, type Scope, type Stream } from "effect"

/** A header's value as brokers carry it; anything else (a table, a timestamp) is kept opaque and passed on as it came. */
export type HeaderValue = unknown

/** Passed on as they came; `contentEncoding` among them is about the body, and goes where the body goes. */
export type Properties = Readonly<Record<string, unknown>>

/** How many consumers may share an ordered subscription, where its broker asks for a number. */
export interface Ordered {
  readonly partitions: number
}

/** What to consume: a queue, key by key with `ordered`; or a group's share of a topic on a broker that keeps no queue for it. */
export type Subscription =
  | { readonly _tag: "Queue"; readonly name: string; readonly ordered?: Ordered }
  | { readonly _tag: "Topic"; readonly topic: string; readonly group: string | undefined }

/** A message received and not yet settled. */
export interface Delivery {
  /** The publisher's message id; `undefined` (an empty one included) if it gave none. */
  readonly id: string | undefined
  readonly body: Uint8Array
  readonly headers: Readonly<Record<string, HeaderValue>>
  readonly contentType: string | undefined
  /** When the publisher says that it published, in milliseconds since the epoch. */
  readonly publishedAtMillis: number | undefined
  /** What else its broker keeps with a message; means something only to the layer that made it. */
  readonly properties?: Properties
  /** 1 for the first delivery; a broker that does not count says 2 for every later one. */
  readonly attempt: number
  /** The broker's own handle; means something only to the layer that made it. */
  readonly receipt: unknown
  /**
   * Whether it is another consumer's by now: work on it that has not begun had better not, and settling it does nothing.
   * A broker that takes no delivery away has none.
   */
  readonly isRevoked?: () => boolean
}

/** A message to publish to a queue by its name. */
export interface OutgoingMessage {
  readonly queue: string
  readonly id: string | undefined
  readonly body: Uint8Array
  readonly headers: Readonly<Record<string, HeaderValue>>
  readonly contentType: string | undefined
  readonly publishedAtMillis: number | undefined
  /** Those of a delivery that is published again. */
  readonly properties?: Properties
}

/** What a message is, wherever it goes. */
export type MessageContent = Omit<OutgoingMessage, "queue">

/** What a delivery is, to go somewhere else as it came. */
export const contentOf = ({ attempt: _, receipt: __, isRevoked: ___, ...content }: Delivery): MessageContent => content

/** Whether a delivery is another consumer's by now. */
export const isRevoked = (delivery: Delivery): boolean => delivery.isRevoked?.() === true

/** The queue of a group, or the topic's own, where groups have queues: no other topic may be named so. */
export const groupQueue = (topic: string, group: string | undefined): string =>
  group === undefined ? topic : `${topic}.${group}`

/** A message for every group that subscribes to a topic. Its key, if it has one, is the header `key`. */
export interface TopicMessage extends MessageContent {
  readonly topic: string
  /** Where a broker has exchanges: another than that of the topics; made where it is missing. */
  readonly exchange?: string | undefined
}

/** A message that one subscription gets after a while. */
export interface DelayedMessage extends MessageContent {
  readonly delay: Duration.Duration
}

/** How a delivery ends: done, refused for good (the broker's own dead-letter policy decides), or back to the queue. */
export type Outcome = "done" | "reject" | "return"

/** One delivery and how it ends. */
export interface Settlement {
  readonly delivery: Delivery
  readonly outcome: Outcome
  /** Which replay it was put back by, and who asked: noted where a broker cannot remove a single message. */
  readonly replay?: { readonly id: string; readonly by: string }
}

/** A look at what waits in a queue, or in a topic where there are no queues, as it was when the look began. */
export interface Browsing {
  /** How many waited. */
  readonly waiting: number
  /**
   * So many, oldest first, one at a time: what comes later makes it no longer. Settled as `done`, one is removed, or
   * marked so that no later look shows it; all others are back in the queue when the scope closes, unharmed, and in
   * order as far as the broker can.
   */
  readonly messages: Stream.Stream<Delivery, BrokerError>
}

/** The broker cannot be reached, or has closed what was in use: worth trying again. */
export class BrokerAway extends Schema.TaggedError<BrokerAway>()("BrokerAway", { detail: Schema.String }) {}

/** The broker answers and says no (credentials, virtual host, permission): trying again will not help. */
export class BrokerRefused extends Schema.TaggedError<BrokerRefused>()("BrokerRefused", { detail: Schema.String }) {}

/** No queue takes a message that was published; the queue may come back. */
export class Unroutable extends Schema.TaggedError<Unroutable>()("Unroutable", { detail: Schema.String }) {}

/** The broker takes no message like this one (too large, headers that do not fit), and never will; others it takes. */
export class MessageRefused extends Schema.TaggedError<MessageRefused>()("MessageRefused", { detail: Schema.String }) {}

/** What can go wrong at a broker; the reason knows whether trying again can help. */
export class BrokerError extends Schema.TaggedError<BrokerError>()("BrokerError", {
  reason: Schema.Union([BrokerAway, BrokerRefused, Unroutable, MessageRefused])
}) {
  get isRetryable(): boolean {
    return this.reason._tag === "BrokerAway" || this.reason._tag === "Unroutable"
  }
  /** Whether the message is at fault, and nothing else. */
  get blamesMessage(): boolean {
    return this.reason._tag === "MessageRefused"
  }
  override get message(): string {
    return this.reason.detail
  }
}

/** The queue of a subscription, or the refusal of a broker that knows no other subscriptions. */
export const queueOf = (
  address: string,
  subscription: Subscription
): Effect.Effect<Extract<Subscription, { _tag: "Queue" }>, BrokerError> =>
  subscription._tag === "Queue"
    ? Effect.succeed(subscription)
    : Effect.fail(
        new BrokerError({
          reason: new BrokerRefused({ detail: `${address}: a group of topic ${subscription.topic} has a queue here` })
        })
      )

/** Whether the broker can be used now. */
export type BrokerStatus = "connected" | "away"

export class Broker extends Context.Service<
  Broker,
  {
    /** The technology, as `BROKER` names it. */
    readonly kind: string
    /** Where it is, without credentials: for logs and errors. */
    readonly address: string
    /** Makes a durable queue unless one of that name exists, whatever that one's arguments are. */
    readonly ensureQueue: (name: string) => Effect.Effect<void, BrokerError>
    /** Deliveries of a queue until the scope closes; fails when the broker goes away or takes the consumer from us. */
    readonly deliveries: (
      subscription: Subscription,
      options: { readonly prefetch: number }
    ) => Stream.Stream<Delivery, BrokerError>
    /** Settles a batch. A delivery whose connection is gone is left alone: the broker gives it out again. */
    readonly settle: (settlements: ReadonlyArray<Settlement>) => Effect.Effect<void, BrokerError>
    /** Publishes to queues, persistent and routable, and returns when all are confirmed. */
    readonly publish: (messages: ReadonlyArray<OutgoingMessage>) => Effect.Effect<void, BrokerError>
    /**
     * Makes a group's subscription to a topic, durable, unless it exists: from then on each message published to the
     * topic reaches each group once. Without a group, the subscription is the topic's own: dead letters are kept so,
     * consumed or not. One that exists and was made otherwise is refused when it is asked for as ordered.
     */
    readonly subscribe: (
      topic: string,
      group: string | undefined,
      options?: { readonly ordered?: Ordered | undefined }
    ) => Effect.Effect<Subscription, BrokerError>
    /**
     * Publishes to topics, persistent, and returns when all are confirmed. A topic that nobody subscribes to is no
     * error; a broker that has a place for such messages keeps them there. With no message at all, it only connects.
     */
    readonly publishToTopics: (messages: ReadonlyArray<TopicMessage>) => Effect.Effect<void, BrokerError>
    /** Whether messages of one call with the same topic and key are taken together or not at all; without it, each by itself. */
    readonly takesTogether?: boolean
    /** Whether messages of several calls at a time leave together as those of one do: who gathers them gains nothing. */
    readonly joinsCalls?: boolean
    /** Delivers messages to one subscription alone, each after its delay; durable when it returns. */
    readonly deliverLater: (
      subscription: Subscription,
      messages: ReadonlyArray<DelayedMessage>
    ) => Effect.Effect<void, BrokerError>
    /** A group's subscription to a topic, if it is there (`Unroutable` if not): makes nothing. See `subscribe`. */
    readonly lookUp: (topic: string, group: string | undefined) => Effect.Effect<Subscription, BrokerError>
    /**
     * Looks at what waits in a queue, or in a topic where there are no queues (`Unroutable` if there is none). Bodies are in memory only while the reader has
     * them. Others may be kept from a message while somebody looks at it; where they are not, both may handle it.
     */
    readonly browse: (queue: string) => Effect.Effect<Browsing, BrokerError, Scope.Scope>
    /** Messages waiting to be delivered (those in some consumer's hands not included). */
    readonly depth: (queue: string) => Effect.Effect<number, BrokerError>
    /**
     * Messages of a subscription that nobody has begun with, in all its queues; where a broker has none, those that the
     * group has not finished, in hand or not. What waits for its delay does not count.
     */
    readonly backlog: (subscription: Subscription) => Effect.Effect<number, BrokerError>
    /**
     * Removes at most `limit` dead letters that have waited for `age`, in nobody's hands; the number of those removed.
     * Without it, the broker has a retention of its own.
     */
    readonly forgetDeadLetters?: (age: Duration.Duration, limit: number) => Effect.Effect<number, BrokerError>
    readonly status: Effect.Effect<BrokerStatus>
  }
>()("paystream/domain/ports/Broker") {}
