/** The tables as they are made, on a real PostgreSQL. */
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect } from "effect"
import * as Migrations from "../../src/layers/postgres/Migrations.ts"
import { limitedRole, newDatabase, query } from "../support/Databases.ts"
import { columns, prepare, sqlStateOf, store } from "../support/PaymentsTable.ts"
import { postgresClient } from "../support/Services.ts"

const indexes =
  "SELECT indexname AS name, indexdef AS definition FROM pg_indexes WHERE tablename = 'payments' ORDER BY 1"

describe("A fresh database", () => {
  it.live("gets the table as documented", () =>
    Effect.gen(function* () {
      const url = yield* newDatabase
      yield* prepare(url)
      const column = (name: string, type: string, nullable: "YES" | "NO", more = {}) => ({
        name,
        type,
        nullable,
        default: null,
        identity: "NO",
        ...more
      })
      assert.deepStrictEqual(yield* query(url, columns), [
        column("id", "bigint", "NO", { identity: "YES" }),
        column("received_at", "timestamp with time zone", "NO", { default: "now()" }),
        column("payload", "jsonb", "NO"),
        column("message_id", "text", "YES"),
        column("source_queue", "text", "NO"),
        column("run_id", "text", "YES"),
        column("deleted_at", "timestamp with time zone", "YES")
      ])
    })
  )

  it.live("gets its indexes and one unique guard", () =>
    Effect.gen(function* () {
      const url = yield* newDatabase
      yield* prepare(url)
      const on = (columns: string) => `ON public.payments USING btree (${columns})`
      assert.deepStrictEqual(yield* query(url, indexes), [
        {
          name: "idx_payments_deleted_at",
          definition: `CREATE INDEX idx_payments_deleted_at ${on("deleted_at")} WHERE (deleted_at IS NOT NULL)`
        },
        { name: "idx_payments_message_id", definition: `CREATE INDEX idx_payments_message_id ${on("message_id")}` },
        { name: "idx_payments_received_at", definition: `CREATE INDEX idx_payments_received_at ${on("received_at")}` },
        { name: "payments_pkey", definition: `CREATE UNIQUE INDEX payments_pkey ${on("id")}` },
        {
          name: "payments_source_queue_message_id_key",
          definition: `CREATE UNIQUE INDEX payments_source_queue_message_id_key ${on("source_queue, message_id")}`
        }
      ])
    })
  )

  it.live("is guarded against any program's inserts, and lets rows without an id repeat", () =>
    Effect.gen(function* () {
      const url = yield* newDatabase
      yield* prepare(url)
      const insert = (id: string | null) =>
        query(url, "INSERT INTO payments (payload, message_id, source_queue) VALUES ('{}', $1, 'q')", [id])
      yield* insert("a")
      yield* insert(null)
      yield* insert(null)
      assert.strictEqual(yield* sqlStateOf(insert("a")), "23505")
    })
  )

  it.live("is migrated once when ten workers start at the same time", () =>
    Effect.gen(function* () {
      const url = yield* newDatabase
      yield* Effect.forEach(Arr.range(1, 10), () => prepare(url), { concurrency: "unbounded" })
      const names = (yield* query<{ name: string }>(url, "SELECT name FROM paystream_migrations")).map(
        ({ name }) => name
      )
      assert.include(names, "payments")
      assert.strictEqual(new Set(names).size, names.length)
      assert.strictEqual((yield* query(url, indexes)).length, 5)
    })
  )

  it.live("has a status that names each migration, and when it was applied", () =>
    Effect.gen(function* () {
      const url = yield* newDatabase
      const status = Effect.provide(Migrations.status, postgresClient(url), { local: true })
      const [first, ...others] = yield* status
      assert.deepStrictEqual(first, { name: "0001_payments", appliedAt: undefined })
      yield* prepare(url)
      const applied = yield* status
      assert.strictEqual(applied.length, others.length + 1)
      for (const { appliedAt } of applied) assert.instanceOf(appliedAt, Date)
    })
  )

  it.live("is left alone where migrating is off, and the missing migration is named", () =>
    Effect.gen(function* () {
      const url = yield* newDatabase
      const error = yield* Effect.flip(prepare(url, { migrateOnStart: false }))
      assert.strictEqual(error._tag === "StoreError" && error.reason._tag, "StoreOutdated")
      assert.match(error.message, /0001_payments.*--mode=migrate/)
      assert.deepStrictEqual(yield* query(url, "SELECT FROM pg_tables WHERE schemaname = 'public'"), [])
      yield* prepare(url)
      yield* prepare(url, { migrateOnStart: false })
    })
  )

  it.live("refuses a role that may not make tables, in words that help", () =>
    Effect.gen(function* () {
      const url = yield* newDatabase
      const limited = (yield* limitedRole(url, "")).url
      const error = yield* Effect.flip(prepare(limited))
      assert.strictEqual(error._tag === "StoreError" && error.reason._tag, "StoreRefused")
      assert.match(error.message, /42501.*--mode=migrate/)
    })
  )

  it.live("serves a role that may only read and insert, once it is migrated", () =>
    Effect.gen(function* () {
      const url = yield* newDatabase
      yield* prepare(url)
      const { url: limited } = yield* limitedRole(
        url,
        "GRANT SELECT, INSERT ON payments TO $role; GRANT SELECT ON paystream_migrations TO $role"
      )
      assert.deepStrictEqual(
        yield* store(limited, "q", [
          ["1", "a"],
          ["1", "a"],
          ["2", "a"]
        ]),
        ["Stored", "Duplicate", "Conflict"]
      )
    })
  )
})
