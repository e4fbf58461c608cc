/** Rows that were marked as deleted are removed in their time, and nobody is waited for. */
import { randomUUID } from "node:crypto"
import { assert, layer as withLayer } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { DeletedRows } from "../../src/domain/ports/DeletedRows.ts"
import * as PostgresDeletedRows from "../../src/layers/postgres/PostgresDeletedRows.ts"
import { newDatabase } from "../support/Databases.ts"
import { postgresClient } from "../support/Services.ts"

const database = Layer.unwrap(
  Effect.map(newDatabase, (url) =>
    PostgresDeletedRows.layer({ address: "the tests' server", migrateOnStart: true }).pipe(
      Layer.provideMerge(postgresClient(url))
    )
  )
)

const age = Duration.days(90)

const marked = Effect.fnUntraced(function* (daysAgo: ReadonlyArray<number>) {
  const sql = yield* SqlClient.SqlClient
  const at = (days: number) => sql`now() - ${days}::float8 * interval '1 day'`
  for (const days of daysAgo) {
    yield* sql`INSERT INTO payments (payload, source_queue, deleted_at) VALUES ('{}', 'q', ${at(days)})`
    yield* sql`INSERT INTO payment_intents (id, amount_minor, currency, idempotency_key, payment_method, order_id,
      deleted_at) VALUES (${randomUUID()}::uuid, 100, 'BRL', 'key', 'pm', 'order', ${at(days)})`
  }
  yield* sql`INSERT INTO payments (payload, source_queue) VALUES ('{}', 'q')`
})

const left = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ payments: number; intents: number }>`
    SELECT (SELECT count(*) FROM payments)::int AS payments, (SELECT count(*) FROM payment_intents)::int AS intents`
  return row
})

withLayer(database, { excludeTestServices: true })("Rows that are marked as deleted", (it) => {
  it.effect("are removed when they were marked long enough ago, so many at a time", () =>
    Effect.gen(function* () {
      const { remove } = yield* DeletedRows
      assert.deepStrictEqual(yield* remove(age, 10), { payments: 0, paymentIntents: 0 })
      yield* marked([1, 89, 91, 120, 400])
      assert.deepStrictEqual(yield* remove(age, 2), { payments: 2, paymentIntents: 2 })
      assert.deepStrictEqual(yield* remove(age, 2), { payments: 1, paymentIntents: 1 })
      assert.deepStrictEqual(yield* remove(age, 2), { payments: 0, paymentIntents: 0 })
      assert.deepStrictEqual(yield* left, { payments: 3, intents: 2 })
    })
  )
})
