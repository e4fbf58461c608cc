/** What PostgreSQL has and the port does not name: constraints of others, rights, triggers, connections. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { PaymentStore } from "../../src/domain/ports/PaymentStore.ts"
import type { StoreError } from "../../src/domain/StoreError.ts"
import { limitedRole, newDatabase, query } from "../support/Databases.ts"
import { postgresPaymentStore } from "../support/Services.ts"
import { payment } from "./PaymentStoreContract.ts"

const storeAt = (url: Redacted.Redacted) =>
  Layer.build(postgresPaymentStore(url)).pipe(Effect.orDie, Effect.map(Context.get(PaymentStore)))

const secret = '{"card": "4111111111111111"}'

/** What the store says of a batch after the change. */
const outcomesAfter = (statement: string) =>
  Effect.gen(function* () {
    const url = yield* newDatabase
    const store = yield* storeAt(url)
    yield* store.prepare
    yield* store.store("q", [payment("1", "before")])
    yield* query(url, statement)
    return yield* store.store("q", [payment("1", "a"), payment(secret, "b"), payment("3", "c")])
  })

const assertAway = (error: StoreError, code: string): void => {
  assert.strictEqual(error.reason._tag, "StoreAway")
  assert.strictEqual(error.reason._tag === "StoreAway" && error.reason.code, code)
  assert.isTrue(error.isRetryable)
  assert.notInclude(JSON.stringify(error) + error.message, "4111")
}

describe("PostgreSQL", () => {
  it.live("that refuses one row by a constraint blames that row, and stores its neighbours", () =>
    Effect.gen(function* () {
      const outcomes = yield* outcomesAfter("ALTER TABLE payments ADD CHECK (payload->'card' IS NULL)")
      assert.deepStrictEqual(
        outcomes.map(({ _tag }) => _tag),
        ["Stored", "Rejected", "Stored"]
      )
      assert.strictEqual(outcomes[1]?._tag === "Rejected" && outcomes[1].sqlState, "23514")
    })
  )

  it.live("whose table is taken away in the middle blames no message", () =>
    Effect.gen(function* () {
      assertAway(yield* Effect.flip(outcomesAfter("ALTER TABLE payments RENAME TO hidden")), "42P01")
    })
  )

  it.live("that takes the right to insert away in the middle blames no message", () =>
    Effect.gen(function* () {
      const url = yield* newDatabase
      yield* (yield* storeAt(url)).prepare
      const limited = yield* limitedRole(
        url,
        "GRANT SELECT, INSERT ON payments TO $role; GRANT SELECT ON paystream_migrations TO $role"
      )
      const store = yield* storeAt(limited.url)
      yield* store.store("q", [payment("1", "before")])
      yield* query(url, `REVOKE INSERT ON payments FROM ${limited.role}`)
      assertAway(yield* Effect.flip(store.store("q", [payment(secret, "a"), payment('"\\u0000"', "b")])), "42501")
    })
  )

  it.live("says which rights storing lacks, and that time does not mend it", () =>
    Effect.gen(function* () {
      const url = yield* newDatabase
      const owner = yield* storeAt(url)
      yield* owner.permitted
      yield* owner.prepare
      yield* owner.permitted
      const limited = yield* limitedRole(url, "GRANT SELECT (id), INSERT (payload) ON payments TO $role")
      const store = yield* storeAt(limited.url)
      yield* store.permitted
      yield* query(url, `REVOKE INSERT (payload), SELECT (id) ON payments FROM ${limited.role}`)
      const error = yield* Effect.flip(store.permitted)
      assert.deepStrictEqual([error.reason._tag, error.isRetryable], ["StoreRefused", false])
      assert.include(error.message, `GRANT INSERT, SELECT ON payments TO ${limited.role}`)
    })
  )

  it.live("whose trigger raises an error blames no message, and what it quotes stays out of the error", () =>
    Effect.gen(function* () {
      const trigger = `
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no: %', NEW.payload; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION refuse()`
      assertAway(yield* Effect.flip(outcomesAfter(trigger)), "P0001")
    })
  )

  for (const [sqlState, what] of [
    ["40001", "a serialization failure"],
    ["40P01", "a deadlock"]
  ]) {
    it.live(`that answers with ${what} is asked again, and stores each payment once`, () =>
      Effect.gen(function* () {
        const url = yield* newDatabase
        const store = yield* storeAt(url)
        yield* store.prepare
        // a sequence counts on when its transaction is rolled back
        const trigger = `
          CREATE SEQUENCE attempts;
          CREATE FUNCTION contend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('attempts') <= 3 THEN RAISE EXCEPTION 'again' USING ERRCODE = '${sqlState}'; END IF;
            RETURN NULL;
          END $$;
          CREATE TRIGGER contend BEFORE INSERT ON payments FOR EACH STATEMENT EXECUTE FUNCTION contend()`
        yield* query(url, trigger)
        const outcomes = yield* store.store("q", [payment("1", "a"), payment("2"), payment("3", "c")])
        assert.deepStrictEqual(
          outcomes.map(({ _tag }) => _tag),
          ["Stored", "Stored", "Stored"]
        )
        const rows = yield* query(url, "SELECT payload::int FROM payments ORDER BY payload")
        assert.deepStrictEqual(rows, [{ payload: 1 }, { payload: 2 }, { payload: 3 }])
        const [attempts] = yield* query(url, "SELECT last_value::int AS last FROM attempts")
        assert.deepStrictEqual(attempts, { last: 4 })
      })
    )
  }

  it.live("that was made read-only blames no message", () =>
    Effect.gen(function* () {
      const readOnly =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$; " +
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
      const error = yield* Effect.flip(outcomesAfter(readOnly))
      assert.strictEqual(error.reason._tag, "StoreAway")
    })
  )

  for (const [what, change] of [
    [
      "a missing database",
      (url: URL) => {
        url.pathname = "/missing"
      }
    ],
    [
      "a missing role",
      (url: URL) => {
        url.username = "missing"
      }
    ]
  ] as const) {
    it.live(`refuses ${what} with an error that trying again will not mend`, () =>
      Effect.gen(function* () {
        const url = new URL(Redacted.value(yield* newDatabase))
        change(url)
        const error = yield* Effect.flip((yield* storeAt(Redacted.make(url.href))).ping)
        assert.deepStrictEqual([error.reason._tag, error.isRetryable], ["StoreRefused", false])
      })
    )
  }

  it.live("that is not there is away, which trying again can mend", () =>
    Effect.gen(function* () {
      const url = new URL(Redacted.value(yield* newDatabase))
      url.port = "1"
      const error = yield* Effect.flip((yield* storeAt(Redacted.make(url.href))).ping)
      assertAway(error, "ECONNREFUSED")
    })
  )
})
