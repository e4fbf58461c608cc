/** Every store of payments passes the contract; and what only the tables can promise. */
import { randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { Array as Arr, Context, Duration, Effect, Layer, type Redacted } from "effect"
import { type Status, transitions } from "../../src/domain/PaymentState.ts"
import { PaymentIntents } from "../../src/domain/ports/PaymentIntents.ts"
import * as MemoryOutbox from "../../src/layers/memory/MemoryOutbox.ts"
import * as MemoryPaymentIntents from "../../src/layers/memory/MemoryPaymentIntents.ts"
import { addRefundsUnderWay } from "../../src/layers/postgres/PaymentIntentsTable.ts"
import * as PostgresOutbox from "../../src/layers/postgres/PostgresOutbox.ts"
import * as PostgresPaymentIntents from "../../src/layers/postgres/PostgresPaymentIntents.ts"
import { newDatabase, query } from "../support/Databases.ts"
import { created, go, toSuccess } from "../support/PaymentIntentsGround.ts"
import { rowsLookedAt } from "../support/RowsLookedAt.ts"
import { postgresClient } from "../support/Services.ts"
import { eventually } from "../support/servers/eventually.ts"
import { suite } from "./PaymentIntentsContract.ts"

/** Where the tables are. */
class Database extends Context.Service<Database, Redacted.Redacted>()("paystream/test/PaymentIntentsDatabase") {}

const store = { address: "the tests' server", migrateOnStart: true }

const postgres = (options?: { readonly prepare: boolean }) =>
  Layer.unwrap(
    Effect.map(newDatabase, (url) => {
      const payments = Layer.tap(
        PostgresPaymentIntents.layer(store),
        (services) => Context.get(services, PaymentIntents).prepare
      )
      return Layer.merge(payments, PostgresOutbox.layer(store)).pipe(
        Layer.provideMerge(postgresClient(url, options)),
        Layer.merge(Layer.succeed(Database, url))
      )
    })
  )

suite("memory", Layer.merge(MemoryPaymentIntents.layer, MemoryOutbox.layer))
suite("PostgreSQL", postgres())
suite("PostgreSQL without prepared statements", postgres({ prepare: false }))

const statuses = Object.keys(transitions) as ReadonlyArray<Status>

/** The ways from the beginning to every status. */
const wayTo = (wanted: Status): ReadonlyArray<Status> => {
  let ways: ReadonlyArray<ReadonlyArray<Status>> = [["requested"]]
  for (;;) {
    const way = ways.find((one) => one.at(-1) === wanted)
    if (way !== undefined) return way
    ways = ways.flatMap((one) => transitions[one.at(-1) ?? "requested"].map((to) => [...one, to]))
  }
}

const insert = (status: string) => `INSERT INTO payment_intents
  (id, amount_minor, currency, status, idempotency_key, payment_method, order_id)
  VALUES ('${randomUUID()}', 1, 'BRL', '${status}', 'k', 'm', 'o') RETURNING id`

layer(postgres(), { excludeTestServices: true, timeout: "60 seconds" })("The table payment_intents", (it) => {
  const isTaken = (statement: string) =>
    Effect.flatMap(Database, (url) =>
      query(url, statement).pipe(
        Effect.as(true),
        Effect.catchDefect((error) => {
          assert.strictEqual((error as { code?: string }).code, "23514")
          return Effect.succeed(false)
        })
      )
    )
  const inStatus = Effect.fnUntraced(function* (status: Status) {
    const [row] = yield* query<{ id: string }>(yield* Database, insert("requested"))
    const moves = wayTo(status).slice(1)
    for (const to of moves) assert.isTrue(yield* isTaken(update(row?.id ?? "", to)))
    return row?.id ?? ""
  })
  const update = (id: string, to: string) => `UPDATE payment_intents SET status = '${to}' WHERE id = '${id}'`

  it.effect("that was made before a refund could come to nothing after all is taken over, its rows too", () =>
    Effect.gen(function* () {
      const url = yield* newDatabase
      const prepare = Effect.provide(
        PaymentIntents.use((payments) => payments.prepare),
        PostgresPaymentIntents.layer(store).pipe(Layer.provide(postgresClient(url))),
        { local: true }
      )
      yield* prepare
      // As the version before has left it.
      yield* query(
        url,
        `DROP TRIGGER payment_intents_transition ON payment_intents;
        CREATE TRIGGER payment_intents_transition BEFORE UPDATE ON payment_intents FOR EACH ROW
          WHEN (OLD.status = 'compensated' AND NEW.status <> OLD.status) EXECUTE FUNCTION payment_intents_refuse();
        ALTER TABLE payment_intents DROP COLUMN postponed_until`
      )
      const [row] = yield* query<{ id: string }>(url, insert("requested"))
      const move = (to: Status) => query(url, update(row?.id ?? "", to))
      for (const to of wayTo("compensated").slice(1)) yield* move(to)
      yield* Effect.provide(addRefundsUnderWay, postgresClient(url), { local: true })
      yield* move("compensating")
      const found = yield* query<{ status: string; postponed_until: unknown }>(
        url,
        "SELECT status, postponed_until FROM payment_intents"
      )
      assert.deepStrictEqual(found, [{ status: "compensating", postponed_until: null }])
    })
  )

  for (const from of statuses) {
    it.effect(`lets any program's UPDATE take ${from} where the domain lets it, and nowhere else`, () =>
      Effect.gen(function* () {
        for (const to of [...statuses, "unheard_of"]) {
          const isLegal = to === from || (transitions[from] as ReadonlyArray<string>).includes(to)
          assert.strictEqual(yield* isTaken(update(yield* inStatus(from), to)), isLegal, `${from} → ${to}`)
        }
      })
    )
  }

  it.effect("begins with a payment that is requested", () =>
    Effect.gen(function* () {
      const begun = yield* Effect.filter(statuses, (status) => isTaken(insert(status)))
      assert.deepStrictEqual(begun, ["requested"])
    })
  )

  it.effect("gives one charge to one payment", () =>
    Effect.gen(function* () {
      const reference = `pi_${randomUUID()}`
      yield* go(yield* created(), ...toSuccess(reference))
      const error = yield* Effect.flip(Effect.flatMap(created(), (other) => go(other, ...toSuccess(reference))))
      assert.strictEqual(error.reason._tag, "StoreRefused")
      assert.notInclude(error.message, reference)
    })
  )

  it.effect("says of a history that a later version has written that this one is too old for it", () =>
    Effect.gen(function* () {
      const payments = yield* PaymentIntents
      const { id } = yield* created()
      const later = `INSERT INTO payment_events (payment_id, version, event) VALUES ('${id}', 2, '{"_tag": "Later"}')`
      yield* query(yield* Database, later)
      for (const ask of [payments.find(id), payments.history(id), payments.claim(id, "1 minute" as never)]) {
        const error = yield* Effect.flip(
          Effect.suspend((): Effect.Effect<unknown, { reason: { _tag: string } }> => ask)
        )
        assert.strictEqual(error.reason._tag, "StoreOutdated")
      }
    })
  )

  it.effect("keeps fields of events that it does not know", () =>
    Effect.gen(function* () {
      const payments = yield* PaymentIntents
      const { id } = yield* created()
      const more = `UPDATE payment_events SET event = event || '{"later": {"n": 1}}' WHERE payment_id = '${id}'`
      const url = yield* Database
      yield* query(url, more)
      yield* go((yield* payments.find(id)) as never, { _tag: "FinishStep", step: "reserve" })
      const rows = yield* query<{ event: unknown }>(
        url,
        `SELECT event->'later' AS event FROM payment_events WHERE payment_id = '${id}' ORDER BY version`
      )
      assert.deepStrictEqual(rows, [{ event: { n: 1 } }, { event: null }, { event: null }])
    })
  )

  it.effect("shows nothing of a payment that is marked as deleted", () =>
    Effect.gen(function* () {
      const payments = yield* PaymentIntents
      const { id } = yield* created()
      yield* query(yield* Database, `UPDATE payment_intents SET deleted_at = now() WHERE id = '${id}'`)
      assert.isUndefined(yield* payments.find(id))
      const listed = yield* payments.list([], 10_000)
      assert.notInclude(
        listed.map((one) => one.id),
        id
      )
    })
  )

  it.effect("forgets a payment with what the sandbox has in its books, and nobody else's", () =>
    Effect.gen(function* () {
      const payments = yield* PaymentIntents
      const url = yield* Database
      const [ended, goesOn] = [yield* created(), yield* created()]
      const books = [ended, goesOn].map(({ id }) => `('sandbox_${id}', '${id}', 1, 'BRL', 'm', 'Charged', 1)`)
      yield* query(
        url,
        `INSERT INTO sandbox_charges (reference, payment_id, amount_minor, currency, payment_method, status, attempts)
          VALUES ${books.join(", ")}`
      )
      yield* go(ended, { _tag: "Fail", reason: "cancelled" })
      yield* eventually(
        Effect.gen(function* () {
          yield* payments.forget(Duration.zero, 10_000)
          assert.isUndefined(yield* payments.find(ended.id))
        }),
        { deadline: "30 seconds", every: "5 millis" }
      )
      const left = yield* query<{ id: string }>(
        url,
        `SELECT payment_id AS id FROM sandbox_charges WHERE payment_id IN ('${ended.id}', '${goesOn.id}')`
      )
      assert.deepStrictEqual(left, [{ id: goesOn.id }])
    })
  )

  it.effect(
    "is asked for what is overdue and stuck by an index, however many payments are under way or have ended",
    () =>
      Effect.gen(function* () {
        const payments = yield* PaymentIntents
        yield* query(
          yield* Database,
          `INSERT INTO payment_intents (id, amount_minor, currency, idempotency_key, payment_method, order_id, updated_at)
          SELECT gen_random_uuid(), 1, 'BRL', 'k', 'm', n % 1000,
            now() - CASE WHEN n % 1000 = 0 THEN interval '2 hours' ELSE interval '0' END
          FROM generate_series(1, 20000) AS n;
        UPDATE payment_intents SET status = 'failed' WHERE status = 'requested' AND order_id LIKE '%7';
        ANALYZE payment_intents`
        )
        const hour = Duration.hours(1)
        const all = [
          Effect.map(payments.overdue(hour, 10_000), ({ length }) => length),
          Effect.map(payments.overdue(hour, 10_000, { id: randomUUID(), since: 0n }), ({ length }) => length),
          Effect.map(payments.stuck(hour, 10_000), ({ length }) => length),
          Effect.map(payments.standing(hour), ({ stuck }) => stuck)
        ]
        for (const ask of all) {
          const { found, rows, scans } = yield* rowsLookedAt("payment_intents", ask)
          assert.deepStrictEqual([found, scans], [20, 0])
          assert.isBelow(rows, 200)
        }
      })
  )

  it.effect(
    "is asked for what is due without a look at what is postponed, or at any history, however much that is",
    () =>
      Effect.gen(function* () {
        const payments = yield* PaymentIntents
        // Refunds that take days: postponed, and without news for long.
        yield* query(
          yield* Database,
          `WITH made AS (
          INSERT INTO payment_intents (id, amount_minor, currency, idempotency_key, payment_method, order_id, updated_at)
          SELECT gen_random_uuid(), 1, 'BRL', 'k', 'postponed', n, now() - interval '3 hours' FROM generate_series(1, 20000) AS n
          RETURNING id
        ) INSERT INTO payment_events (payment_id, version, event) SELECT id, 1, '{"_tag": "Requested"}' FROM made;
        UPDATE payment_intents SET status = 'processing' WHERE payment_method = 'postponed';
        UPDATE payment_intents SET status = 'compensating',
          postponed_until = CASE WHEN order_id::int % 1000 = 0 THEN NULL ELSE now() + interval '1 hour' END
        WHERE payment_method = 'postponed'`
        )
        yield* query(yield* Database, "VACUUM ANALYZE payment_intents")
        const [age, limit] = [Duration.minutes(150), 10_000]
        const all = [
          Effect.map(payments.overdue(age, limit), ({ length }) => length),
          Effect.map(payments.overdue(age, limit, { id: randomUUID(), since: 0n }), ({ length }) => length),
          Effect.map(payments.unsettled(age, limit), ({ length }) => length),
          Effect.map(payments.stuck(age, limit), ({ length }) => length)
        ]
        for (const ask of all) {
          const { found, rows, scans } = yield* rowsLookedAt("payment_intents", ask)
          assert.deepStrictEqual([found, scans], [20, 0])
          assert.isBelow(rows, 200)
          assert.deepInclude(yield* rowsLookedAt("payment_events", ask), { rows: 0, scans: 0 })
        }
      })
  )

  it.effect("has as many events of a payment as its version says, however many payments change at once", () =>
    Effect.gen(function* () {
      const url = yield* Database
      const all = yield* Effect.forEach(Arr.range(1, 10), () => created())
      yield* Effect.forEach(all, (one) => go(one, ...toSuccess(`pi_${one.id}`)), { concurrency: "unbounded" })
      const rows = yield* query<{ id: string }>(
        url,
        `SELECT id FROM payment_intents AS payment WHERE version <> (
          SELECT count(*) FROM payment_events WHERE payment_id = payment.id
        ) AND id = ANY ($1)`,
        [all.map(({ id }) => id)]
      )
      assert.deepStrictEqual(rows, [])
    })
  )
})
