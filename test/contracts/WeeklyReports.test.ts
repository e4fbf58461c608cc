/** Every store of weekly reports passes the contract; and what is counted, which only a database knows. */
import { randomUUID } from "node:crypto"
import { assert, layer as withLayer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { WeeklyReports } from "../../src/domain/ports/WeeklyReports.ts"
import { weekBefore } from "../../src/domain/WeeklyReport.ts"
import * as MemoryOutbox from "../../src/layers/memory/MemoryOutbox.ts"
import * as MemoryWeeklyReports from "../../src/layers/memory/MemoryWeeklyReports.ts"
import * as PostgresOutbox from "../../src/layers/postgres/PostgresOutbox.ts"
import * as PostgresWeeklyReports from "../../src/layers/postgres/PostgresWeeklyReports.ts"
import { newDatabase } from "../support/Databases.ts"
import { postgresClient } from "../support/Services.ts"
import { figures } from "../support/WeeklyFigures.ts"
import { suite } from "./WeeklyReportsContract.ts"

const postgres = Layer.unwrap(
  Effect.map(newDatabase, (url) => {
    const options = { address: "the tests' server", migrateOnStart: true }
    return Layer.merge(PostgresWeeklyReports.layer(options), PostgresOutbox.layer(options)).pipe(
      Layer.provideMerge(postgresClient(url))
    )
  })
)

suite("memory", Layer.merge(MemoryWeeklyReports.layer(figures), MemoryOutbox.layer))
suite("PostgreSQL", postgres)

const week = weekBefore(Date.parse("2026-03-09T08:00:00Z"))
const inside = "2026-03-02T00:00:00Z"
const last = "2026-03-08T23:59:59.999999Z"
const [before, after] = ["2026-03-01T23:59:59.999999Z", "2026-03-09T00:00:00Z"]

const insertPayments = Effect.fnUntraced(function* () {
  const sql = yield* SqlClient.SqlClient
  const insert = (queue: string, at: string, payload: string) =>
    sql`INSERT INTO payments (payload, source_queue, received_at) VALUES (${payload}::jsonb, ${queue}, ${at}::timestamptz)`
  // Sums that a float cannot hold.
  yield* insert("q1", inside, '{"amount": "9007199254740993.01", "currency": "BRL"}')
  yield* insert("q1", last, '{"amount": 0.10, "currency": "BRL"}')
  yield* insert("q1", last, '{"amount": 0.20, "currency": "BRL"}')
  yield* insert("q2", inside, '{"amount": "5", "currency": "EUR"}')
  for (const payload of ["[]", "7", '{"amount": "x", "currency": "BRL"}', '{"amount": -1, "currency": "BRL"}', "null"])
    yield* insert("q2", inside, payload)
  for (const at of [before, after]) yield* insert("q1", at, '{"amount": "100", "currency": "BRL"}')
  for (let queue = 0; queue < 25; queue++) yield* insert(`queue-${String(queue).padStart(2, "0")}`, inside, "{}")
})

const insertOthers = Effect.fnUntraced(function* () {
  const sql = yield* SqlClient.SqlClient
  const intent = (at: string, amount: string, isRequired = false) =>
    sql`INSERT INTO payment_intents (id, amount_minor, currency, idempotency_key, payment_method, order_id, created_at,
        compensation_required)
      VALUES (${randomUUID()}::uuid, ${amount}::bigint, 'BRL', 'key', 'pm', 'order', ${at}::timestamptz, ${isRequired})`
  yield* intent(inside, "9007199254740993")
  yield* intent(last, "7", true)
  yield* intent(after, "1")
  yield* sql`INSERT INTO dead_letter_replays (topic, partition, record_offset, written_at, replay_id, replayed_by,
      replayed_at)
    SELECT 't', 0, n, now(), 'r', 'me', (ARRAY[${before}, ${inside}, ${last}]::timestamptz[])[n] FROM generate_series(1, 3) AS n`
  yield* sql`INSERT INTO outbox_events (topic, payload, created_at, attempts, published_at)
    VALUES ('t', '1', ${inside}::timestamptz, 0, NULL), ('t', '1', ${inside}::timestamptz, 2, NULL),
      ('t', '1', ${inside}::timestamptz, 0, now()), ('t', '1', ${after}::timestamptz, 0, NULL)`
})

withLayer(postgres, { excludeTestServices: true })("The figures of a week", (it) => {
  it.effect("are exact, and of that week alone", () =>
    Effect.gen(function* () {
      const reports = yield* WeeklyReports
      assert.isUndefined(yield* reports.find(week))
      yield* insertPayments()
      yield* insertOthers()
      const { deadLetters, outbox, payments, sagas } = yield* reports.figures(week)
      assert.strictEqual(payments.stored, 34)
      assert.deepStrictEqual(payments.byQueue.slice(0, 3), [
        { queue: "q2", count: 6 },
        { queue: "q1", count: 3 },
        { queue: "queue-00", count: 1 }
      ])
      assert.deepStrictEqual([payments.byQueue.length, payments.inOtherQueues], [20, 7])
      assert.deepStrictEqual(payments.amounts, [
        { currency: "BRL", count: 3, amount: "9007199254740993.31" },
        { currency: "EUR", count: 1, amount: "5" }
      ])
      assert.strictEqual(payments.withoutAmount, 30)
      assert.deepStrictEqual(sagas, {
        byOutcome: [{ outcome: "requested", currency: "BRL", count: 2, amount: "90071992547410.00" }],
        compensationRequired: 1
      })
      assert.deepStrictEqual(deadLetters, { putBack: 2 })
      assert.deepStrictEqual(outbox, { unpublished: 2, refused: 1 })
    })
  )
})
