/** Whether the brokers answer: a request of its own, over one connection that is kept. */
import { Effect, type Scope } from "effect"
import type { Admin } from "kafkajs"
import type { BrokerError } from "../../domain/ports/Broker.ts"
import type { KafkaClient } from "./KafkaClient.ts"

/** Connects when first used, and again after a failure. */
export const make = Effect.fnUntraced(function* (
  client: KafkaClient
): Effect.fn.Return<{ readonly ask: Effect.Effect<void, BrokerError> }, never, Scope.Scope> {
  let current: Admin | undefined
  const retire = Effect.suspend(() => {
    const admin = current
    current = undefined
    return admin === undefined ? Effect.void : Effect.ignore(Effect.tryPromise(() => admin.disconnect()))
  })
  yield* Effect.addFinalizer(() => retire)
  const ask = client.attempt("connect", async () => {
    current ??= client.kafka.admin()
    await current.connect()
    await current.describeCluster()
  })
  return { ask: Effect.onError(ask, () => retire) }
})
