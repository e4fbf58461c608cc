/**
 * One long-lived channel on which everybody publishes; opened when first needed, and again after it was lost.
 *
 * ## Guarantees
 * - Each caller waits for the confirms of its own messages, and learns which of them no queue takes.
 */
import { Effect, Schedule, type Scope, Semaphore } from "effect"
import type { BrokerError } from "../../domain/ports/Broker.ts"
import * as RabbitMqConfirmChannel from "./RabbitMqConfirmChannel.ts"
import type { RabbitMqConnection } from "./RabbitMqConnection.ts"
import { away, brokerError } from "./RabbitMqError.ts"
import type { Envelope } from "./RabbitMqMessage.ts"

/** Publishes, persistent and mandatory, and returns when all are confirmed: with those that no queue takes. */
export type Send = (envelopes: ReadonlyArray<Envelope>) => Effect.Effect<ReadonlyArray<Envelope>, BrokerError>

/** The channel, on a connection that others use too. */
export const make = Effect.fnUntraced(function* (
  connection: RabbitMqConnection,
  address: string
): Effect.fn.Return<Send, never, Scope.Scope> {
  const failure = brokerError(address, "publish")
  const unconfirmed = away(address, `publish: not confirmed within ${RabbitMqConfirmChannel.confirmSeconds} seconds`)
  const one = yield* Semaphore.make(1)
  // The last one takes what is new; those that are retired may get their confirms yet.
  const channels = new Set<RabbitMqConfirmChannel.OpenChannel>()
  let current: RabbitMqConfirmChannel.OpenChannel | undefined

  const opened = Effect.flatMap(connection.get, (model) =>
    // Nobody would close a channel that opens for a caller who has left.
    Effect.uninterruptible(
      Effect.map(Effect.tryPromise({ try: () => model.createConfirmChannel(), catch: failure }), (channel) => {
        const open = RabbitMqConfirmChannel.adopt(channel, () => channels.delete(open))
        channels.add(open)
        current = open
        return open
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

  return (envelopes) =>
    envelopes.length === 0
      ? Effect.succeed([])
      : Effect.andThen(
          connection.whenUnblocked,
          Effect.flatMap(get, (open) => RabbitMqConfirmChannel.send(open, envelopes, failure))
        )
})
