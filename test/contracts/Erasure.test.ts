/** A person's data erased from a real PostgreSQL: what goes, and what stays. */
import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Redacted } from "effect"
import type { Subject } from "../../src/domain/Erasure.ts"
import * as Erasure from "../../src/layers/postgres/Erasure.ts"
import * as Migrations from "../../src/layers/postgres/Migrations.ts"
import { newDatabase, query } from "../support/Databases.ts"
import { postgresClient } from "../support/Services.ts"

const fields = ["payer", "receiver", "customer", "document", "paymentmethod"]

const made = Effect.gen(function* () {
  const url = yield* newDatabase
  yield* Effect.provide(Migrations.migrate, postgresClient(url))
  return url
})

const erase = (url: Redacted.Redacted, subject: Subject, isDryRun = false) =>
  Erasure.erase({ subject, fields, isDryRun }).pipe(
    Effect.map((tables) => Object.fromEntries(tables.map(({ left, rows, table }) => [table, [rows, left]]))),
    Effect.provide(postgresClient(url))
  )

const nothing = {
  payments: [0, 0],
  outbox_events: [0, 0],
  idempotency_keys: [0, 0],
  payment_intents: [0, 0],
  payment_events: [0, 0],
  pix_audit_log: [0, 0]
}

const payment = (url: Redacted.Redacted, id: string, payload: string) =>
  query(url, "INSERT INTO payments (message_id, source_queue, payload) VALUES ($1, 'q', $2::jsonb)", [id, payload])

const payloads = (url: Redacted.Redacted, table: "payments" | "outbox_events" = "payments") =>
  Effect.map(query<{ payload: string }>(url, `SELECT payload::text AS payload FROM ${table} ORDER BY id`), (rows) =>
    rows.map(({ payload }) => payload)
  )

/** A payment that has come to a status, as the processor leaves it. */
const intent = (url: Redacted.Redacted, statuses: ReadonlyArray<string>, method: string) =>
  Effect.gen(function* () {
    const id = randomUUID()
    const columns = "(id, amount_minor, currency, idempotency_key, payment_method, order_id)"
    yield* query(
      url,
      `INSERT INTO payment_intents ${columns} VALUES ($1, 1000, 'BRL', 'ana@example.org', $2, 'order-1')`,
      [id, method]
    )
    const event = { _tag: "Requested", amount: "1000", currency: "BRL", paymentMethod: method, orderId: "order-1" }
    yield* query(url, "INSERT INTO payment_events VALUES ($1, 1, $2)", [id, JSON.stringify(event)])
    yield* query(url, `INSERT INTO payment_events VALUES ($1, 2, '{"_tag": "Begun"}')`, [id])
    for (const status of statuses)
      yield* query(url, "UPDATE payment_intents SET status = $2 WHERE id = $1", [id, status])
    return id
  })

describe.concurrent("The erasure of a person's data", () => {
  it.live("replaces what is personal at any depth, keeps the rest to the last digit, and leaves others alone", () =>
    Effect.gen(function* () {
      const url = yield* made
      const ana =
        '{"n": 12345678901234567890.10, "id": 7, "list": [{"PAYER": {"name": "Ana", "tags": ["x", 1, true, null], "ok": {}}}], "amount": "1.00", "receiver": "Bruno"}'
      yield* payment(url, "1", ana)
      yield* payment(url, "2", '{"note": "Ana", "customer": "Bia"}')
      yield* payment(url, "3", '"Ana"')
      yield* payment(url, "4", '{"customer": "Ana B"}')
      assert.deepStrictEqual(yield* erase(url, { kind: "payer", value: "Ana" }, true), { ...nothing, payments: [1, 0] })
      assert.include((yield* payloads(url))[0], "Ana")
      assert.deepStrictEqual(yield* erase(url, { kind: "payer", value: "Ana" }), { ...nothing, payments: [1, 0] })
      assert.deepStrictEqual(yield* payloads(url), [
        '{"n": 12345678901234567890.10, "id": 7, "list": [{"PAYER": {"ok": {}, "name": "[erased]", "tags": ["[erased]", null, null, null]}}], "amount": "1.00", "receiver": "[erased]"}',
        '{"note": "Ana", "customer": "Bia"}',
        '"Ana"',
        '{"customer": "Ana B"}'
      ])
      assert.deepStrictEqual(yield* erase(url, { kind: "payer", value: "Ana" }), nothing)
    })
  )

  it.live("finds a document that is a number, an id that a message has, and one that stands in a payload", () =>
    Effect.gen(function* () {
      const url = yield* made
      yield* payment(url, "by-message", '{"customer": "Ana"}')
      yield* payment(url, "other", '{"paymentId": "by-field", "customer": "Bia"}')
      yield* payment(url, "third", '{"transaction_id": "tx", "customer": "Carla"}')
      yield* payment(url, "fourth", '{"document": 12345678909, "customer": "Davi"}')
      for (const subject of [
        { kind: "payment", value: "by-message" },
        { kind: "payment", value: "by-field" },
        { kind: "transaction", value: "tx" },
        { kind: "payer", value: "12345678909" }
      ] as const) {
        assert.deepStrictEqual(yield* erase(url, subject), { ...nothing, payments: [1, 0] }, subject.value)
      }
      assert.notMatch((yield* payloads(url)).join(), /Ana|Bia|Carla|Davi|12345678909/)
    })
  )

  it.live("takes a quote, a backslash or a path's signs in a name for what they are", () =>
    Effect.gen(function* () {
      const url = yield* made
      const names = [`O'Neil "x" \\ $who`, '" || true', "%", "😀"]
      yield* Effect.forEach(names, (name) => payment(url, name, JSON.stringify({ payer: name })))
      for (const value of names) {
        assert.deepStrictEqual(yield* erase(url, { kind: "payer", value }), { ...nothing, payments: [1, 0] }, value)
      }
    })
  )

  it.live("is not stopped by a payload that is nested as deep as PostgreSQL takes it", () =>
    Effect.gen(function* () {
      const url = yield* made
      const depth = 5000
      yield* payment(url, "1", `{"payer": "Ana", "deep": ${"[".repeat(depth)}${"]".repeat(depth)}}`)
      yield* payment(url, "2", `${'{"payer":'.repeat(depth)}"Ana"${"}".repeat(depth)}`)
      yield* payment(url, "3", '{"payer": "Ana"}')
      assert.deepStrictEqual(yield* erase(url, { kind: "payer", value: "Ana" }), { ...nothing, payments: [3, 0] })
    })
  )

  it.live("goes through a table of many windows, and finds the first and the last of it", () =>
    Effect.gen(function* () {
      const url = yield* made
      yield* query(
        url,
        `INSERT INTO payments (source_queue, payload) SELECT 'q', jsonb_build_object('n', n, 'payer',
          CASE WHEN n IN (1, 5000, 5001, 12000) THEN 'Ana' ELSE 'Bia' END) FROM generate_series(1, 12000) AS n`
      )
      assert.deepStrictEqual(yield* erase(url, { kind: "payer", value: "Ana" }), { ...nothing, payments: [4, 0] })
    })
  )

  it.live("leaves events that are still to be published, and says so", () =>
    Effect.gen(function* () {
      const url = yield* made
      const insert = `INSERT INTO outbox_events (topic, key, payload, published_at) VALUES ('t', $1, '{"payer": "Ana"}', $2)`
      yield* query(url, insert, ["tx-1", null])
      yield* query(url, insert, ["tx-1", new Date()])
      const found = { ...nothing, outbox_events: [1, 1] }
      assert.deepStrictEqual(yield* erase(url, { kind: "payer", value: "Ana" }, true), found)
      assert.deepStrictEqual(yield* erase(url, { kind: "payer", value: "Ana" }), found)
      yield* query(url, "UPDATE outbox_events SET published_at = now()")
      assert.deepStrictEqual(yield* erase(url, { kind: "transaction", value: "tx-1" }), {
        ...nothing,
        outbox_events: [1, 0]
      })
      assert.deepStrictEqual(yield* payloads(url, "outbox_events"), ['{"payer": "[erased]"}', '{"payer": "[erased]"}'])
    })
  )

  it.live("rids a payment that has ended of its payment method and its key, and keeps its amount and history", () =>
    Effect.gen(function* () {
      const url = yield* made
      const ended = yield* intent(url, ["processing", "succeeded"], "pm_ana")
      const underWay = yield* intent(url, ["processing"], "pm_ana")
      const other = yield* intent(url, ["failed"], "pm_bia")
      const found = { ...nothing, payment_intents: [1, 1], payment_events: [1, 0] }
      assert.deepStrictEqual(yield* erase(url, { kind: "payer", value: "pm_ana" }, true), found)
      assert.deepStrictEqual(yield* erase(url, { kind: "payer", value: "pm_ana" }), found)
      const rows = yield* query(
        url,
        `SELECT payment_intents.id, payment_method AS method, idempotency_key AS key, amount_minor::int AS amount, status,
          event ->> 'paymentMethod' AS told, event ->> 'amount' AS first
        FROM payment_intents JOIN payment_events ON payment_id = id AND payment_events.version = 1`
      )
      const one = (id: string, status: string, method: string, key: string) => ({
        id,
        method,
        key,
        amount: 1000,
        status,
        told: method,
        first: "1000"
      })
      assert.sameDeepMembers(rows, [
        one(ended, "succeeded", "[erased]", "[erased]"),
        one(underWay, "processing", "pm_ana", "ana@example.org"),
        one(other, "failed", "pm_bia", "ana@example.org")
      ])
      assert.deepStrictEqual(yield* erase(url, { kind: "payment", value: other.toUpperCase() }), {
        ...nothing,
        payment_intents: [1, 0],
        payment_events: [1, 0]
      })
    })
  )

  it.live("reaches answers that are kept for requests, and what was noted beside a step of a transaction", () =>
    Effect.gen(function* () {
      const url = yield* made
      const keys = "INSERT INTO idempotency_keys VALUES ('s', $1, 'f', 1, now(), now(), $2)"
      yield* query(url, keys, ["a", '{"status":200,"body":{"payer":"Ana","n":1.10}}'])
      yield* query(url, keys, ["b", null])
      const step = `INSERT INTO pix_audit_log (message_id, transaction_id, action, detail, happened_at) VALUES ($1, $2, 'x', $3, now())`
      yield* query(url, step, ["1", "tx", "Ana was told"])
      yield* query(url, step, ["2", "tx", null])
      yield* query(url, step, ["3", "other", "Bia was told"])
      const byName = yield* erase(url, { kind: "payer", value: "Ana" })
      assert.deepStrictEqual(byName, { ...nothing, idempotency_keys: [1, 0] })
      const byTransaction = { kind: "transaction", value: "tx" } as const
      const found = { ...nothing, pix_audit_log: [1, 0] }
      assert.deepStrictEqual(yield* erase(url, byTransaction, true), found)
      assert.deepStrictEqual(yield* erase(url, byTransaction), found)
      assert.deepStrictEqual(yield* erase(url, byTransaction), nothing)
      const answers = yield* query<{ answer: string }>(url, "SELECT answer FROM idempotency_keys WHERE key = 'a'")
      assert.deepStrictEqual(JSON.parse(answers[0]?.answer ?? ""), { status: 200, body: { payer: "[erased]", n: 1.1 } })
    })
  )

  it.live("is noted with its time, who asked and how much it was, and not whose it was", () =>
    Effect.gen(function* () {
      const url = yield* made
      const tables = [{ table: "payments", rows: 3, left: 0 }]
      yield* Effect.provide(Erasure.record({ kind: "payer", value: "Ana" }, "operator", tables), postgresClient(url))
      const [row] = yield* query<{ text: string }>(url, "SELECT erasures::text AS text FROM erasures")
      assert.match(row?.text ?? "", /operator,payer,"\{""payments"": 3\}"/)
      assert.notInclude(row?.text, "Ana")
    })
  )
})
