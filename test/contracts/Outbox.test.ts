/** Every outbox passes the contract; and what only the table can promise. */
import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Redacted } from "effect"
import { Client } from "pg"
import { Outbox } from "../../src/domain/ports/Outbox.ts"
import { PaymentStore } from "../../src/domain/ports/PaymentStore.ts"
import * as MemoryOutbox from "../../src/layers/memory/MemoryOutbox.ts"
import * as OutboxFloors from "../../src/layers/postgres/OutboxFloors.ts"
import { runner } from "../../src/layers/postgres/OutboxStatements.ts"
import * as PostgresOutbox from "../../src/layers/postgres/PostgresOutbox.ts"
import { newDatabase, query } from "../support/Databases.ts"
import { rowsLookedAt } from "../support/RowsLookedAt.ts"
import { postgresClient, postgresPaymentStore } from "../support/Services.ts"
import { eventually } from "../support/servers/eventually.ts"
import { suite } from "./OutboxContract.ts"

/** Where the tables are. */
class Database extends Context.Service<Database, Redacted.Redacted>()("paystream/test/OutboxDatabase") {}

const postgres = (options?: { readonly prepare: boolean }) =>
  Layer.unwrap(
    Effect.map(newDatabase, (url) => {
      const store = Layer.tap(
        postgresPaymentStore(url, options),
        (services) => Context.get(services, PaymentStore).prepare
      )
      return PostgresOutbox.layer({ address: "the test's database", migrateOnStart: true }).pipe(
        Layer.provideMerge(store),
        Layer.merge(Layer.succeed(Database, url))
      )
    })
  )

suite("memory", MemoryOutbox.layer)
suite("PostgreSQL", postgres())
suite("PostgreSQL without prepared statements", postgres({ prepare: false }))

const rules = { maxAttempts: 5, dead: "hold" } as const

layer(postgres(), { excludeTestServices: true, timeout: "60 seconds" })("The table outbox_events", (it) => {
  it.effect("takes any program's insert of a topic and a payload", () =>
    Effect.gen(function* () {
      const url = yield* Database
      const [row] = yield* query<{ id: string; headers: unknown; attempts: number }>(
        url,
        `INSERT INTO outbox_events (topic, payload) VALUES ('a', '{"n": 1}') RETURNING id, headers, attempts`
      )
      assert.match(row?.id ?? "", /^[0-9a-f]{8}-[0-9a-f]{4}-7/)
      assert.deepStrictEqual(row?.headers, {})
      assert.strictEqual(row?.attempts, 0)
    })
  )

  it.effect("gives ids that grow with time", () =>
    Effect.gen(function* () {
      const url = yield* Database
      const rows = yield* query<{ sorted: boolean; close: boolean }>(
        url,
        `SELECT bool_and(id::text > before::text) AS sorted, bool_and(abs(millis - now) < 60000) AS close FROM (
          SELECT id, lag(id) OVER (ORDER BY n) AS before,
            ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint AS millis,
            extract(epoch FROM clock_timestamp()) * 1000 AS now
          FROM (SELECT n, outbox_event_id() AS id, pg_sleep(0.002) FROM generate_series(1, 20) AS n) AS made
        ) AS ids`
      )
      assert.deepStrictEqual(rows, [{ sorted: true, close: true }])
    })
  )

  it.effect("refuses what could never be published", () =>
    Effect.gen(function* () {
      const url = yield* Database
      const accepts = (columns: string, values: string) =>
        query(url, `INSERT INTO outbox_events (${columns}) VALUES (${values})`).pipe(
          Effect.as(true),
          Effect.catchDefect(() => Effect.succeed(false))
        )
      assert.isFalse(yield* accepts("topic, payload", "'', '{}'"))
      assert.isFalse(yield* accepts("topic, payload", "repeat('x', 256), '{}'"))
      assert.isFalse(yield* accepts("topic, payload, headers", "'a', '{}', '[]'"))
      assert.isFalse(yield* accepts("topic, payload, key", "'a', '{}', ''"))
      assert.isFalse(yield* accepts("topic, payload, sequence", "'a', '{}', 1"))
      assert.isTrue(yield* accepts("topic, payload, key", "'a', '{}', 'k'"))
    })
  )

  it.effect("tells of many rows of one statement once", () =>
    Effect.gen(function* () {
      const url = yield* Database
      const heard = yield* Effect.promise(async () => {
        const client = new Client({ connectionString: Redacted.value(url) })
        await client.connect()
        let notifications = 0
        client.on("notification", () => notifications++)
        await client.query("LISTEN outbox_events")
        await client.query("INSERT INTO outbox_events (topic, payload) SELECT 'a', '1' FROM generate_series(1, 100)")
        await client.query("SELECT 1")
        await client.end()
        return notifications
      })
      assert.strictEqual(heard, 1)
    })
  )

  it.effect("names a transaction that is open on it", () =>
    Effect.gen(function* () {
      const url = yield* Database
      const outbox = yield* Outbox
      const client = new Client({ connectionString: Redacted.value(url), application_name: "a stranger" })
      yield* Effect.acquireRelease(
        Effect.promise(() => client.connect()),
        () => Effect.promise(() => client.end())
      )
      yield* Effect.promise(() => client.query("BEGIN; INSERT INTO outbox_events (topic, payload) VALUES ('a', '1')"))
      const [open] = (yield* outbox.glance(rules)).openTransactions
      assert.match(open?.who ?? "", /^process \d+ \(a stranger\)$/)
      assert.strictEqual(open?.state, "idle in transaction")
      yield* Effect.promise(() => client.query("ROLLBACK"))
      yield* eventually(
        Effect.tap(outbox.glance(rules), (found) =>
          Effect.sync(() => assert.deepStrictEqual(found.openTransactions, []))
        ),
        { deadline: "30 seconds" }
      )
    }).pipe(Effect.scoped)
  )

  it.effect("is read from its front, by its index, however many rows wait", () =>
    Effect.gen(function* () {
      const url = yield* Database
      yield* query(
        url,
        "INSERT INTO outbox_events (topic, key, payload) SELECT 'a', 'k' || n, '1' FROM generate_series(1, 20000) n"
      )
      yield* query(url, "ANALYZE outbox_events")
      const [plan] = yield* query<{ "QUERY PLAN": ReadonlyArray<unknown> }>(
        url,
        `EXPLAIN (FORMAT JSON) SELECT * FROM outbox_slots CROSS JOIN LATERAL (
          SELECT * FROM outbox_events WHERE outbox_events.slot = outbox_slots.slot
            AND published_at IS NULL AND next_attempt_at IS NULL ORDER BY sequence LIMIT 30
        ) AS event LIMIT 1000`
      )
      const text = JSON.stringify(plan)
      assert.include(text, "idx_outbox_events_new")
      assert.notInclude(text, '"Sort"')
    })
  )

  it.effect("is rid of what is old without a look at what is not, however much that is", () =>
    Effect.gen(function* () {
      const [outbox, url] = [yield* Outbox, yield* Database]
      yield* query(
        url,
        `INSERT INTO outbox_events (topic, payload, published_at)
          SELECT 'a', '1', now() - CASE WHEN n % 1000 = 0 THEN interval '2 hours' ELSE interval '0' END
          FROM generate_series(1, 20000) n`
      )
      yield* query(url, "ANALYZE outbox_events")
      const removed = yield* rowsLookedAt("outbox_events", outbox.removePublished(Duration.hours(1), 1000))
      assert.deepStrictEqual([removed.found, removed.scans], [20, 0])
      assert.isBelow(removed.rows, 200)
    })
  )

  it.effect(
    "is read from where something can be left, which an open transaction that may have appended holds back",
    () =>
      Effect.gen(function* () {
        const url = yield* Database
        const append =
          "INSERT INTO outbox_events (topic, key, payload) SELECT 'a', 'k' || n, '1' FROM generate_series(1, 500) n"
        const publishAll = query(url, "UPDATE outbox_events SET published_at = now() WHERE published_at IS NULL")
        yield* Effect.andThen(query(url, append), publishAll)
        const client = yield* Layer.build(postgresClient(url))
        const run = yield* Effect.provide(runner({ address: "the test's database", migrateOnStart: true }), client)
        const floors = OutboxFloors.make(Context.get(client, PgClient.PgClient), run)
        const options = { relay: "", slots: [0], limit: 10, limitPerSlot: 10, rules }
        const look = Effect.gen(function* () {
          yield* Effect.replicateEffect(floors.probe, 3, { discard: true })
          const { note } = yield* floors.begin(options)
          note([])
          return floors.of(0)
        })
        const [last] = yield* query<{ sequence: string }>(url, "SELECT max(sequence) AS sequence FROM outbox_events")
        assert.strictEqual(yield* look, BigInt(last?.sequence ?? 0))
        const stranger = new Client({ connectionString: Redacted.value(url) })
        yield* Effect.acquireRelease(
          Effect.promise(() => stranger.connect()),
          () => Effect.promise(() => stranger.end())
        )
        yield* Effect.promise(() =>
          stranger.query("BEGIN; INSERT INTO outbox_events (topic, payload) VALUES ('a', '1')")
        )
        yield* Effect.andThen(query(url, append), publishAll)
        assert.strictEqual(yield* look, BigInt(last?.sequence ?? 0))
        yield* Effect.promise(() => stranger.query("COMMIT"))
        // What is found is not passed over, whatever is decided.
        yield* Effect.replicateEffect(floors.probe, 3, { discard: true })
        const { note } = yield* floors.begin(options)
        note([{ slot: 0, sequence: BigInt(last?.sequence ?? 0) + 1n }])
        assert.strictEqual(floors.of(0), BigInt(last?.sequence ?? 0))
        assert.strictEqual(yield* look, BigInt(last?.sequence ?? 0) + 501n)
      }).pipe(Effect.scoped)
  )
})
