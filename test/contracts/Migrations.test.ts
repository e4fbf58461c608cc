/** The tables as they are made and taken over, on a real PostgreSQL. */
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect, Redacted } from "effect"
import { PaymentStore } from "../../src/domain/ports/PaymentStore.ts"
import * as Migrations from "../../src/layers/postgres/Migrations.ts"
import { limitedRole, newDatabase, query } from "../support/Databases.ts"
import { type PostgresOptions, postgresClient, postgresPaymentStore } from "../support/Services.ts"
import { payment } from "./PaymentStoreContract.ts"

/** One worker's start: its own connections, closed afterwards. */
const prepare = (url: Redacted.Redacted, options?: PostgresOptions) =>
  Effect.provide(
    Effect.flatMap(PaymentStore, (store) => store.prepare),
    postgresPaymentStore(url, options),
    { local: true }
  )

const store = (
  url: Redacted.Redacted,
  queue: string,
  payments: ReadonlyArray<readonly [payload: string, id: string]>
) =>
  Effect.flatMap(PaymentStore, (service) =>
    Effect.andThen(
      service.prepare,
      service.store(
        queue,
        payments.map(([payload, id]) => payment(payload, id))
      )
    )
  ).pipe(
    Effect.map((outcomes) => outcomes.map(({ _tag }) => _tag)),
    Effect.provide(postgresPaymentStore(url), { local: true })
  )

const sqlStateOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(
    Effect.sandbox(effect).pipe(Effect.flip),
    (cause) => String(JSON.stringify(cause.reasons)).match(/"code":"(\w+)"/)?.[1]
  )

const columns = `
  SELECT column_name AS name, data_type AS type, is_nullable AS nullable, column_default AS default, is_identity AS identity
  FROM information_schema.columns WHERE table_name = 'payments' ORDER BY ordinal_position`

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

/** What the Python worker left behind. */
const oldTable = `
  CREATE TABLE payments (
    id SERIAL PRIMARY KEY,
    received_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    payload JSONB NOT NULL,
    message_id VARCHAR(255),
    source_queue VARCHAR(255) NOT NULL
  );
  CREATE INDEX idx_payments_received_at ON payments (received_at);
  INSERT INTO payments (received_at, payload, message_id, source_queue) VALUES
    ('2024-03-31 02:30:00.123456', '{"amount": 1.10}', 'a', 'q'),
    ('2024-10-27 02:30:00', '{"amount": 2}', 'b', 'q'),
    ('1999-12-31 23:59:59.999999', '{"amount": 1.10}', 'a', 'q'),
    ('2024-01-01 00:00:00', '{"amount": 3}', NULL, 'q')`

/** The rows with where each stands, and the file that they stand in: a row that was written anew stands elsewhere. */
const oldRows = `
  SELECT id, received_at::text, payload::text, message_id, source_queue, ctid::text, xmin::text,
    pg_relation_filenode('payments')::text AS file
  FROM payments WHERE id <= 4 ORDER BY id`

const inTimeZone = (url: Redacted.Redacted, zone: string) => {
  const address = new URL(Redacted.value(url))
  address.search = `options=${encodeURIComponent(`-c TimeZone=${zone}`)}`
  return Redacted.make(address.href)
}

/** A database that holds the old table, with more rows or other things where a test wants them. */
const oldDatabase = (more = "") => Effect.tap(newDatabase, (url) => query(url, `${oldTable}; ${more}`))

describe("The table of an old Python worker", () => {
  for (const zone of ["UTC", "America/Sao_Paulo", "Asia/Kolkata"]) {
    it.live(`is taken over without a row changed, by a client in ${zone}`, () =>
      Effect.gen(function* () {
        const url = yield* oldDatabase()
        const before = yield* query(url, oldRows)
        const zoned = inTimeZone(url, zone)
        assert.deepStrictEqual(yield* query(zoned, "SHOW TimeZone"), [{ TimeZone: zone }])
        yield* prepare(zoned)
        yield* store(zoned, "q", [["4", "new"]])
        assert.deepStrictEqual(yield* query(url, oldRows), before)
      })
    )
  }

  it.live("counts as already stored", () =>
    Effect.gen(function* () {
      const url = yield* oldDatabase()
      const batch = [
        ['{"amount": 1.1}', "a"],
        ['{"amount": 2}', "b"],
        ['{"amount": 9}', "b"],
        ['{"amount": 3}', "c"]
      ] as const
      assert.deepStrictEqual(yield* store(url, "q", batch), ["Duplicate", "Duplicate", "Conflict", "Stored"])
      assert.deepStrictEqual(yield* store(url, "other", [['{"amount": 7}', "a"]]), ["Stored"])
      assert.deepStrictEqual(yield* query(url, "SELECT count(*)::int AS rows FROM payments"), [{ rows: 6 }])
    })
  )

  it.live("guards new rows, against our own batches and against any program", () =>
    Effect.gen(function* () {
      const url = yield* oldDatabase()
      const batch = [
        ["1", "new"],
        ["1.0", "new"],
        ["2", "new"]
      ] as const
      assert.deepStrictEqual(yield* store(url, "q", batch), ["Stored", "Duplicate", "Conflict"])
      assert.deepStrictEqual(yield* store(url, "q", batch), ["Duplicate", "Duplicate", "Conflict"])
      const insert = "INSERT INTO payments (payload, message_id, source_queue) VALUES ('{}', 'new', 'q')"
      assert.strictEqual(yield* sqlStateOf(query(url, insert)), "23505")
    })
  )

  it.live("is guarded as a whole where no id repeats", () =>
    Effect.gen(function* () {
      const url = yield* oldDatabase("DELETE FROM payments WHERE id = 3")
      assert.deepStrictEqual(
        yield* store(url, "q", [
          ['{"amount": 1.10}', "a"],
          ["5", "a"]
        ]),
        ["Duplicate", "Conflict"]
      )
      const insert = "INSERT INTO payments (payload, message_id, source_queue) VALUES ('{}', 'a', 'q')"
      assert.strictEqual(yield* sqlStateOf(query(url, insert)), "23505")
    })
  )

  it.live("keeps its columns' types, unless changing them is instant, and goes on with its numbers", () =>
    Effect.gen(function* () {
      const url = yield* oldDatabase()
      yield* store(url, "q", [["1", "x".repeat(300)]])
      const types = yield* query<{ name: string; type: string }>(url, columns)
      assert.deepStrictEqual(
        types.map(({ name, type }) => [name, type]),
        [
          ["id", "integer"],
          ["received_at", "timestamp without time zone"],
          ["payload", "jsonb"],
          ["message_id", "text"],
          ["source_queue", "text"],
          ["run_id", "text"],
          ["deleted_at", "timestamp with time zone"]
        ]
      )
      assert.deepStrictEqual(yield* query(url, "SELECT max(id) AS id FROM payments"), [{ id: 5 }])
    })
  )

  it.live("goes on being written by the old worker beside the new one", () =>
    Effect.gen(function* () {
      const url = yield* oldDatabase()
      yield* prepare(url)
      yield* query(
        url,
        "INSERT INTO payments (payload, message_id, source_queue) VALUES ('{\"amount\": 8}', 'old', 'q')"
      )
      assert.deepStrictEqual(
        yield* store(url, "q", [
          ['{"amount": 8}', "old"],
          ["1", "old"]
        ]),
        ["Duplicate", "Conflict"]
      )
    })
  )

  it.live("is taken over once when ten workers start at the same time, while the old one writes", () =>
    Effect.gen(function* () {
      const url = yield* oldDatabase()
      const writes = Effect.forEach(Arr.range(1, 20), (index) =>
        query(url, "INSERT INTO payments (payload, message_id, source_queue) VALUES ('1', $1, 'q')", [`w${index}`])
      )
      const starts = Effect.forEach(Arr.range(1, 10), () => prepare(url), { concurrency: "unbounded" })
      yield* Effect.all([writes, starts], { concurrency: "unbounded" })
      assert.deepStrictEqual(yield* query(url, "SELECT count(*)::int AS rows FROM payments"), [{ rows: 24 }])
      const batch = Arr.makeBy(20, (index) => ["1", `w${index + 1}`] as const)
      assert.isTrue((yield* store(url, "q", batch)).every((tag) => tag === "Duplicate"))
    })
  )

  it.live("is taken over though a view reads it", () =>
    Effect.gen(function* () {
      const url = yield* oldDatabase("CREATE VIEW report AS SELECT message_id, source_queue FROM payments")
      assert.deepStrictEqual(yield* store(url, "q", [['{"amount": 2}', "b"]]), ["Duplicate"])
    })
  )
})
