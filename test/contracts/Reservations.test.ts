/** Every store of reservations passes the contract. */
import { randomUUID } from "node:crypto"
import { assert, layer as withLayer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { PaymentIntents } from "../../src/domain/ports/PaymentIntents.ts"
import { Reservations } from "../../src/domain/ports/Reservations.ts"
import * as MemoryReservations from "../../src/layers/memory/MemoryReservations.ts"
import * as PostgresPaymentIntents from "../../src/layers/postgres/PostgresPaymentIntents.ts"
import * as PostgresReservations from "../../src/layers/postgres/PostgresReservations.ts"
import { newDatabase } from "../support/Databases.ts"
import { postgresClient } from "../support/Services.ts"
import { suite } from "./ReservationsContract.ts"

const postgres = Layer.unwrap(
  Effect.map(newDatabase, (url) =>
    PostgresReservations.layer({ address: "the tests' server", migrateOnStart: true }).pipe(
      Layer.provide(postgresClient(url))
    )
  )
)

suite("memory", MemoryReservations.layer)
suite("PostgreSQL", postgres)

const database = Layer.unwrap(
  Effect.map(newDatabase, (url) => {
    const client = postgresClient(url)
    const options = { address: "the tests' server", migrateOnStart: true }
    const stores = Layer.merge(PostgresReservations.layer(options), PostgresPaymentIntents.layer(options))
    return Layer.provideMerge(stores, client)
  })
)

withLayer(database, { excludeTestServices: true })("Reservations beside payments", (it) => {
  it.effect("are not taken any more by a payment that is undone, or was: its request was late", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const orders = yield* Reservations
      yield* (yield* PaymentIntents).prepare
      const late = { orderId: "order-1", paymentId: randomUUID() }
      const next = { orderId: "order-1", paymentId: randomUUID() }
      const goesTo = (status: string) => sql`UPDATE payment_intents SET status = ${status} WHERE id = ${late.paymentId}`
      yield* sql`INSERT INTO payment_intents (id, amount_minor, currency, idempotency_key, payment_method, order_id)
        VALUES (${late.paymentId}, 100, 'BRL', 'key', 'pm_card_visa', 'order-1')`
      yield* goesTo("processing")
      assert.strictEqual((yield* orders.reserve(late))._tag, "Done")
      yield* goesTo("compensating")
      yield* orders.release(late)
      for (const step of [orders.reserve, orders.confirm]) assert.strictEqual((yield* step(late))._tag, "Refused")
      yield* goesTo("failed")
      for (const step of [orders.reserve, orders.confirm]) assert.strictEqual((yield* step(late))._tag, "Refused")
      assert.strictEqual((yield* orders.reserve(next))._tag, "Done")
    })
  )
})
