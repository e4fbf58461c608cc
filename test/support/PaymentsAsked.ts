/** Payments that are asked for as the API does it, in a database that processes of the product share. */
import { randomUUID } from "node:crypto"
import { Effect, Layer, type Redacted } from "effect"
import * as PostgresOutbox from "../../src/layers/postgres/PostgresOutbox.ts"
import * as PostgresPaymentIntents from "../../src/layers/postgres/PostgresPaymentIntents.ts"
import { changeStored, request } from "../../src/streams/PaymentChanges.ts"
import { PaymentOutlet } from "../../src/streams/PaymentOutlet.ts"
import { query } from "./Databases.ts"
import { postgresClient } from "./Services.ts"

/** The stores of a database whose tables are there. */
export const stores = (url: Redacted.Redacted) => {
  const store = { address: "the tests' server", migrateOnStart: false }
  const outbox = PostgresOutbox.layer(store)
  return Layer.merge(PostgresPaymentIntents.layer(store), Layer.provide(PaymentOutlet.outbox, outbox)).pipe(
    Layer.provide(postgresClient(url))
  )
}

const store = Effect.fnUntraced(function* (paymentMethod: string, commandId: string | undefined) {
  const id = randomUUID()
  const event = { _tag: "Requested", amount: 10_000n, currency: "BRL", paymentMethod, orderId: id } as const
  yield* request({ id, idempotencyKey: randomUUID(), event }, { commandId })
  return id
})

/** Asks for a payment of 100.00; gives its id. */
export const ask = (paymentMethod: string) => store(paymentMethod, randomUUID())

/** The same, with a command that got lost: a sweep finds it. */
export const askWithoutCommand = (paymentMethod: string) => store(paymentMethod, undefined)

/** As an operator does: what was in hand at one kill after the other has killed nobody. */
export const liftQuarantines = Effect.fnUntraced(function* (url: Redacted.Redacted) {
  const held = yield* query<{ id: string }>(url, "SELECT id::text FROM payment_intents WHERE quarantined")
  if (held.length === 0) return
  const lift = Effect.forEach(held, ({ id }) => changeStored(id, { _tag: "LiftQuarantine" }), { discard: true })
  yield* Effect.provide(lift, stores(url))
})
