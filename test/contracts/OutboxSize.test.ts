/** The table of the outbox stays as large as what is in it, however much goes through. */
import { assert, layer } from "@effect/vitest"
import { Context, Duration, Effect, Layer, type Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { slotCount } from "../../src/domain/OutboxEvent.ts"
import { Outbox } from "../../src/domain/ports/Outbox.ts"
import { PaymentStore } from "../../src/domain/ports/PaymentStore.ts"
import * as PostgresOutbox from "../../src/layers/postgres/PostgresOutbox.ts"
import { newDatabase, query } from "../support/Databases.ts"
import { postgresPaymentStore } from "../support/Services.ts"

class Database extends Context.Service<Database, Redacted.Redacted>()("paystream/test/OutboxSizeDatabase") {}

const postgres = Layer.unwrap(
  Effect.map(newDatabase, (url) =>
    PostgresOutbox.layer({ address: "the test's database", migrateOnStart: true }).pipe(
      Layer.provideMerge(
        Layer.tap(postgresPaymentStore(url), (services) => Context.get(services, PaymentStore).prepare)
      ),
      Layer.merge(Layer.succeed(Database, url))
    )
  )
)

const rules = { maxAttempts: 5, dead: "hold" } as const
const lease = Duration.minutes(5)
const slots = Array.from({ length: slotCount }, (_, slot) => slot)

/** Of one round: more than autovacuum's threshold, so that it would come in each. */
const events = 6000
const rounds = 12
/** By then the table has the room that it needs. */
const settledAfter = 4

/** A relay that owns everything, until the end of the scope. */
const relaying = Effect.gen(function* () {
  const outbox = yield* Outbox
  const relay = yield* Effect.acquireRelease(outbox.enrol(lease), (relay) => Effect.orDie(outbox.leave(relay)))
  assert.lengthOf(yield* outbox.acquire(relay, slots), slotCount)
  return { relay, slots, limit: 1000, limitPerSlot: 100, rules }
})

const append = (url: Redacted.Redacted) =>
  query(
    url,
    `INSERT INTO outbox_events (topic, key, payload)
     SELECT 'a', 'k' || n % 1000, jsonb_build_object('n', n, 'note', repeat('-', 150)) FROM generate_series(1, ${events}) n`
  )

const publishAll = Effect.fnUntraced(function* (options: Effect.Success<typeof relaying>) {
  const outbox = yield* Outbox
  let published = 0
  while (published < events) {
    const taken = yield* outbox.take(options)
    yield* outbox.markPublished(taken.events.map(({ id }) => id))
    published += taken.events.length
  }
})

const removeAll = Effect.gen(function* () {
  const outbox = yield* Outbox
  while ((yield* outbox.removePublished(Duration.zero, 1000)) > 0) {}
})

/** With its indexes, in bytes. */
const sizeOf = (url: Redacted.Redacted) =>
  Effect.map(
    query<{ size: number }>(url, "SELECT pg_total_relation_size('outbox_events')::int AS size"),
    ([row]) => row?.size ?? 0
  )

layer(postgres, { excludeTestServices: true, timeout: "120 seconds" })("The table outbox_events under load", (it) => {
  it.effect("does not grow, as long as vacuum comes when it is asked to", () =>
    Effect.gen(function* () {
      const url = yield* Database
      const options = yield* relaying
      const sizes: Array<number> = []
      for (let round = 0; round < rounds; round++) {
        yield* append(url)
        // What is left is that of the round before: about as much is kept as comes.
        yield* removeAll
        yield* publishAll(options)
        yield* query(url, "VACUUM outbox_events")
        sizes.push(yield* sizeOf(url))
      }
      const settled = Math.max(...sizes.slice(0, settledAfter))
      const largest = Math.max(...sizes)
      assert.isAtMost(largest, settled * 1.05, sizes.join(", "))
      // Far less than what went through it.
      assert.isBelow(largest, (events * rounds * 400) / 2, sizes.join(", "))
    }).pipe(Effect.scoped)
  )

  it.effect("asks vacuum to come early, since marking an event never finds its place beside it", () =>
    Effect.gen(function* () {
      const [outbox, sql, url] = [yield* Outbox, yield* SqlClient.SqlClient, yield* Database]
      const options = yield* relaying
      yield* append(url)
      const counts = sql<{ updated: number; heapOnly: number }>`
        SELECT n_tup_upd::int AS updated, n_tup_hot_upd::int AS "heapOnly"
        FROM pg_stat_xact_user_tables WHERE relname = 'outbox_events'`
      // In one transaction, and so in one session: that is whose counts these are.
      const [before, , after] = yield* outbox.transaction(Effect.all([counts, publishAll(options), counts]))
      assert.strictEqual((after[0]?.updated ?? 0) - (before[0]?.updated ?? 0), events)
      assert.strictEqual(after[0]?.heapOnly, 0)
      const [table] = yield* query<{ options: ReadonlyArray<string> }>(
        url,
        "SELECT reloptions AS options FROM pg_class WHERE relname = 'outbox_events'"
      )
      const threshold = Number(
        table?.options.find((one) => one.startsWith("autovacuum_vacuum_threshold="))?.split("=")[1]
      )
      assert.isAtMost(threshold, events)
      assert.include(table?.options ?? [], "autovacuum_vacuum_scale_factor=0.02")
    }).pipe(Effect.scoped)
  )
})
