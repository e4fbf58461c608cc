/** Declaring queues and exchanges, and looking at them. What exists is taken as it is: other programs own its arguments. */
import type { Channel, ChannelModel } from "amqplib"
import { Data, Effect, Predicate } from "effect"
import { BrokerError, Unroutable } from "../../domain/ports/Broker.ts"
import { close } from "./Closing.ts"
import { brokerError } from "./RabbitMqError.ts"

/** How to declare a queue that is missing. */
export type QueueType = "classic" | "quorum"

/** Runs on a channel of its own: whatever the broker refuses closes the channel it was asked on. */
const onChannel = <A>(
  model: ChannelModel,
  failure: (cause: unknown) => BrokerError,
  use: (channel: Channel) => Promise<A>
) =>
  Effect.acquireUseRelease(
    Effect.tryPromise({ try: () => model.createChannel(), catch: failure }).pipe(
      Effect.tap((channel) => Effect.sync(() => channel.on("error", () => undefined)))
    ),
    (channel) => Effect.tryPromise({ try: () => use(channel), catch: (cause) => new Refusal({ cause }) }),
    (channel) => Effect.ignore(Effect.tryPromise(() => close(channel)))
  )

/** The broker's answer, which the code in it explains. */
class Refusal extends Data.TaggedError("Refusal")<{ readonly cause: unknown }> {
  has(code: number): boolean {
    return Predicate.hasProperty(this.cause, "code") && this.cause.code === code
  }
}

const notFound = 404
const declaredOtherwise = 406

const unlessRefused = (failure: (cause: unknown) => BrokerError) => (error: Refusal | BrokerError) =>
  error._tag === "Refusal" ? failure(error.cause) : error

/** What a refusal with this code means. */
const answering =
  <B>(code: number, answer: B) =>
  <A>(asked: Effect.Effect<A, Refusal | BrokerError>) =>
    Effect.catchIf(
      asked,
      (error) => error._tag === "Refusal" && error.has(code),
      () => Effect.succeed(answer)
    )

/**
 * The arguments of a queue that is missing. From RabbitMQ 4 on a quorum queue drops a message after 20 returns unless
 * told otherwise; before, it never does and does not know -1.
 */
export const argumentsOf = (type: QueueType, brokerVersion: string): Readonly<Record<string, unknown>> => {
  if (type === "classic") return {}
  const isLimited = Number.parseInt(brokerVersion, 10) >= 4
  return { "x-queue-type": "quorum", ...(isLimited ? { "x-delivery-limit": -1 } : {}) }
}

const argumentsFor = (type: QueueType, model: ChannelModel) =>
  argumentsOf(type, String(model.connection.serverProperties.version ?? ""))

interface Named {
  readonly address: string
  readonly name: string
}

/** Looks first: to look at what exists needs no permission to make it. */
const unlessThere = (
  model: ChannelModel,
  failure: (cause: unknown) => BrokerError,
  options: {
    readonly exists: (channel: Channel) => Promise<unknown>
    readonly declare: (channel: Channel) => Promise<unknown>
  }
): Effect.Effect<void, BrokerError> =>
  Effect.asVoid(onChannel(model, failure, options.exists)).pipe(
    Effect.catchIf(
      (error) => error._tag === "Refusal" && error.has(notFound),
      () => Effect.asVoid(onChannel(model, failure, options.declare))
    ),
    // Somebody declared it in the meantime, in their own way: then that is how it is.
    Effect.catchIf(
      (error) => error._tag === "Refusal" && error.has(declaredOtherwise),
      () => Effect.void
    ),
    Effect.mapError(unlessRefused(failure))
  )

/** Makes the queue, durable, unless it exists. */
export const ensure = (model: ChannelModel, { address, name, type }: Named & { readonly type: QueueType }) =>
  unlessThere(model, brokerError(address, `declare queue ${name}`), {
    exists: (channel) => channel.checkQueue(name),
    declare: (channel) => channel.assertQueue(name, { durable: true, arguments: argumentsFor(type, model) })
  })

/** Makes a queue that is to have these arguments; whether it has them. */
export const declareAs = (
  model: ChannelModel,
  options: Named & { readonly type: QueueType; readonly arguments: Readonly<Record<string, unknown>> }
): Effect.Effect<boolean, BrokerError> => {
  const queue = { durable: true, arguments: { ...argumentsFor(options.type, model), ...options.arguments } }
  const failure = brokerError(options.address, `declare queue ${options.name}`)
  return onChannel(model, failure, (channel) => channel.assertQueue(options.name, queue)).pipe(
    Effect.as(true),
    answering(declaredOtherwise, false),
    Effect.mapError(unlessRefused(failure))
  )
}

/** Whether there is such a queue. */
export const exists = (model: ChannelModel, { address, name }: Named): Effect.Effect<boolean, BrokerError> => {
  const failure = brokerError(address, `look for queue ${name}`)
  return onChannel(model, failure, (channel) => channel.checkQueue(name)).pipe(
    Effect.as(true),
    answering(notFound, false),
    Effect.mapError(unlessRefused(failure))
  )
}

/** Makes the topic exchange, durable, unless one of that name exists. */
export const ensureExchange = (model: ChannelModel, { address, name }: Named) =>
  unlessThere(model, brokerError(address, `declare exchange ${name}`), {
    exists: (channel) => channel.checkExchange(name),
    declare: (channel) => channel.assertExchange(name, "topic", { durable: true })
  })

/** Declares a queue of our own: one of that name with other arguments is an error. */
export const declare = (
  model: ChannelModel,
  options: Named & { readonly arguments: Readonly<Record<string, unknown>> }
): Effect.Effect<void, BrokerError> => {
  const failure = brokerError(options.address, `declare queue ${options.name}`)
  const queue = { durable: true, arguments: options.arguments }
  return onChannel(model, failure, (channel) => channel.assertQueue(options.name, queue)).pipe(
    Effect.mapError(unlessRefused(failure)),
    Effect.asVoid
  )
}

/** Lets a queue take a topic. */
export const bind = (
  model: ChannelModel,
  { address, exchange, name, topic }: Named & { readonly exchange: string; readonly topic: string }
): Effect.Effect<void, BrokerError> => {
  const failure = brokerError(address, `bind queue ${name} to ${topic} on exchange ${exchange}`)
  return onChannel(model, failure, (channel) => channel.bindQueue(name, exchange, topic)).pipe(
    Effect.mapError(unlessRefused(failure)),
    Effect.asVoid
  )
}

/** Messages that wait to be delivered; without such a queue `Unroutable`. */
export const depth = (model: ChannelModel, options: Named) => {
  const failure = brokerError(options.address, `look at queue ${options.name}`)
  return onChannel(model, failure, (channel) => channel.checkQueue(options.name)).pipe(
    Effect.map((queue) => queue.messageCount),
    Effect.mapError((error) =>
      error._tag === "Refusal" && error.has(notFound) ? noQueue(options) : unlessRefused(failure)(error)
    )
  )
}

const noQueue = ({ address, name }: Named): BrokerError =>
  new BrokerError({ reason: new Unroutable({ detail: `RabbitMQ at ${address}: there is no queue ${name}` }) })
