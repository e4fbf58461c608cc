/** The table of an old worker as it is taken over, on a real PostgreSQL. */
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect, Redacted } from "effect"
import { newDatabase, query } from "../support/Databases.ts"
import { columns, prepare, sqlStateOf, store } from "../support/PaymentsTable.ts"

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
