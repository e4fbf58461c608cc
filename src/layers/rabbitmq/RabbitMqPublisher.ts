/** Publishes to queues through the default exchange: persistent, mandatory, confirmed. */
import type { ConfirmChannel, Message } from "amqplib"
import { Effect, type Scope } from "effect"
import { BrokerError, type OutgoingMessage, Unroutable } from "../../domain/ports/Broker.ts"
import type { RabbitMqConnection } from "./RabbitMqConnection.ts"
import { away, brokerError } from "./RabbitMqError.ts"

/** Without an alarm at the broker, a confirm that takes longer than this will not come. */
const confirmTimeout = "30 seconds"

/** The broker reads these two as further queues to route to, and would deliver a dead letter to strangers. */
const routingHeaders = ["CC", "BCC"]

const headersToSend = (headers: OutgoingMessage["headers"]) =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [routingHeaders.includes(name) ? `x-original-${name}` : name, value])
  )

const propertiesOf = (message: OutgoingMessage) => ({
  persistent: true,
  mandatory: true,
  headers: headersToSend(message.headers),
  ...(message.id === undefined ? {} : { messageId: message.id }),
  ...(message.contentType === undefined ? {} : { contentType: message.contentType }),
  ...(message.publishedAtMillis === undefined ? {} : { timestamp: Math.floor(message.publishedAtMillis / 1000) })
})

/** Sends one batch and waits for every confirm; rejects with the first failure. */
const sendBatch = (channel: ConfirmChannel, messages: ReadonlyArray<OutgoingMessage>, unroutable: Set<string>) =>
  new Promise<void>((resolve, reject) => {
    let waiting = messages.length
    channel.once("close", () => reject(new Error("the channel was closed")))
    for (const message of messages) {
      channel.sendToQueue(message.queue, bufferOf(message.body), propertiesOf(message), (error: Error | null) => {
        // A message that no queue takes is returned first and confirmed then.
        if (unroutable.delete(message.queue)) reject(noQueue(message.queue))
        else if (error !== null) reject(new Error(`refused by the broker: ${error.message}`))
        else if (--waiting === 0) resolve()
      })
    }
  })

const bufferOf = (body: Uint8Array): Buffer => Buffer.from(body.buffer, body.byteOffset, body.byteLength)

const noQueue = (queue: string) =>
  new BrokerError({ reason: new Unroutable({ detail: `no queue ${queue} takes the message; it was not published` }) })

/** One confirm channel per batch in flight keeps returns and confirms of different callers apart. */
export const make = (connection: RabbitMqConnection, address: string) => {
  const failure = brokerError(address, "publish")
  const unconfirmed = away(address, `publish: not confirmed within ${confirmTimeout}`)
  const openChannel: Effect.Effect<ConfirmChannel, BrokerError, Scope.Scope> = Effect.flatMap(connection.get, (model) =>
    Effect.acquireRelease(Effect.tryPromise({ try: () => model.createConfirmChannel(), catch: failure }), (channel) =>
      Effect.timeoutOption(Effect.ignore(Effect.tryPromise(() => channel.close())), "5 seconds")
    )
  )

  return (messages: ReadonlyArray<OutgoingMessage>): Effect.Effect<void, BrokerError> =>
    messages.length === 0
      ? Effect.void
      : Effect.scoped(
          Effect.gen(function* () {
            const channel = yield* openChannel
            yield* connection.whenUnblocked
            const unroutable = new Set<string>()
            channel.on("error", () => undefined)
            channel.on("return", (message: Message) => unroutable.add(message.fields.routingKey))
            const confirmed = Effect.tryPromise({
              try: () => sendBatch(channel, messages, unroutable),
              catch: (cause) => (cause instanceof BrokerError ? cause : failure(cause))
            })
            yield* Effect.raceFirst(confirmed, Effect.andThen(overdue(connection), Effect.fail(unconfirmed)))
          })
        )
}

// What a blocked connection has sent is taken when the alarm ends: giving up before would send it twice.
const overdue = (connection: RabbitMqConnection): Effect.Effect<void> =>
  Effect.sleep(confirmTimeout).pipe(
    Effect.andThen(connection.isBlocked),
    Effect.flatMap((blocked) =>
      blocked
        ? Effect.andThen(
            connection.whenUnblocked,
            Effect.suspend(() => overdue(connection))
          )
        : Effect.void
    )
  )
