/**
 * One long-lived channel on which everybody publishes; opened when first needed, and again after it was lost.
 *
 * ## Guarantees
 * - Each caller waits for the confirms of its own messages, and learns which of them no queue takes.
 * - A message that the broker finds too large is its own publisher's failure. The broker closes the channel over the
 *   first one, for whoever else waits on it too; those that follow are not even sent.
 */
import { Effect, Schedule, type Scope, Semaphore } from "effect"
import type { BrokerError } from "../../domain/ports/Broker.ts"
import { throwIfClosed } from "./Closing.ts"
import * as RabbitMqConfirmChannel from "./RabbitMqConfirmChannel.ts"
import type { RabbitMqConnection } from "./RabbitMqConnection.ts"
import { away, brokerError, largestBodyIn, messageRefused } from "./RabbitMqError.ts"
import type { Envelope } from "./RabbitMqMessage.ts"

/** Publishes, persistent and mandatory, and returns when all are confirmed: with those that no queue takes. */
export type Send = (envelopes: ReadonlyArray<Envelope>) => Effect.Effect<ReadonlyArray<Envelope>, BrokerError>

/** The channel, on a connection that others use too. */
export const make = Effect.fnUntraced(function* (
  connection: RabbitMqConnection,
  address: string
): Effect.fn.Return<Send, never, Scope.Scope> {
  const failure = brokerError(address, "publish")
  const unwritable = (cause: unknown) => messageRefused(address, `cannot be written: ${nameOf(cause)}`)
  const unconfirmed = away(address, `publish: not confirmed within ${RabbitMqConfirmChannel.confirmSeconds} seconds`)
  const one = yield* Semaphore.make(1)
  // The last one takes what is new; those that are retired may get their confirms yet.
  const channels = new Set<RabbitMqConfirmChannel.OpenChannel>()
  let current: RabbitMqConfirmChannel.OpenChannel | undefined
  let largestBody = Number.POSITIVE_INFINITY

  const refuseTooLarge = (envelopes: ReadonlyArray<Envelope>): Effect.Effect<void, BrokerError> =>
    Effect.suspend(() => {
      const tooLarge = envelopes.find(({ content }) => content.body.length > largestBody)
      if (tooLarge === undefined) return Effect.void
      const detail = `a body of ${tooLarge.content.body.length} bytes; the broker takes ${largestBody} (max_message_size)`
      return Effect.fail(messageRefused(address, detail))
    })
  const learnLargest = (error: BrokerError) =>
    Effect.sync(() => {
      largestBody = largestBodyIn(error) ?? largestBody
    })

  const opened = Effect.flatMap(connection.get, (model) =>
    // Nobody would close a channel that opens for a caller who has left.
    Effect.uninterruptible(
      Effect.tryPromise({
        try: async () => {
          const channel = await model.createConfirmChannel()
          throwIfClosed(model)
          const open = RabbitMqConfirmChannel.adopt(channel, () => channels.delete(open))
          channels.add(open)
          current = open
          return open
        },
        catch: failure
      })
    )
  )
  const found = (otherwise: typeof opened) =>
    Effect.suspend(() =>
      current === undefined || current.isClosed || current.isRetired ? otherwise : Effect.succeed(current)
    )
  const get = found(Semaphore.withPermits(one, 1)(found(opened)))

  // One clock for all: a timer for each message would cost more than the message.
  const tick = Effect.map(connection.isBlocked, (isBlocked) => {
    for (const open of channels) RabbitMqConfirmChannel.tick(open, isBlocked, unconfirmed)
  })
  yield* Effect.forkScoped(Effect.repeat(tick, Schedule.spaced("1 second")))

  const sendAll = (envelopes: ReadonlyArray<Envelope>) =>
    connection.whenUnblocked.pipe(
      Effect.andThen(refuseTooLarge(envelopes)),
      Effect.andThen(
        Effect.flatMap(get, (open) => RabbitMqConfirmChannel.send(open, envelopes, { failure, unwritable }))
      ),
      // Whose message it was that the channel was closed over is known only now.
      Effect.catch((error) => Effect.andThen(learnLargest(error), Effect.andThen(refuseTooLarge(envelopes), error)))
    )
  return (envelopes) => (envelopes.length === 0 ? Effect.succeed([]) : sendAll(envelopes))
})

const nameOf = (cause: unknown): string => (cause instanceof Error ? cause.name : "unknown")
