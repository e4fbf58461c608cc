/** A batch with rejected rows, of which PostgreSQL goes away when some are stored. */
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect } from "effect"
import { PaymentStore } from "../../src/domain/ports/PaymentStore.ts"
import { newDatabase, query } from "../support/Databases.ts"
import { postgresPaymentStore } from "../support/Services.ts"
import { payment } from "./PaymentStoreContract.ts"

/** Every second is rejected; the others have no id. */
const batch = Arr.makeBy(16, (index) => payment(index % 2 === 0 ? String(index) : '"\\u0000"'))

/** Breaks every connection that inserts such a payload. */
const breakWhere = (condition: string) => `
  CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN new; END';
  CREATE TRIGGER break BEFORE INSERT ON payments
    FOR EACH ROW WHEN (new.payload::text::int ${condition}) EXECUTE FUNCTION break()`

const rows = "SELECT payload::text AS payload FROM payments ORDER BY payload::text::int"

/** What is said of the batch, and the rows then; and the rows after what is undecided was stored again. */
const storeTwice = (condition: string) =>
  Effect.gen(function* () {
    const url = yield* newDatabase
    const payloads = Effect.map(
      query<{ payload: string }>(url, rows),
      Arr.map((row) => row.payload)
    )
    return yield* Effect.gen(function* () {
      const store = yield* PaymentStore
      yield* store.prepare
      yield* query(url, breakWhere(condition))
      const tags = (yield* store.store("q", batch)).map(({ _tag }) => _tag)
      const before = yield* payloads
      yield* query(url, "DROP TRIGGER break ON payments")
      const undecided = batch.filter((_, index) => tags[index] === "Undecided")
      const again = (yield* store.store("q", undecided)).map(({ _tag }) => _tag)
      return { tags, before, again, after: yield* payloads }
    }).pipe(Effect.provide(postgresPaymentStore(url)))
  })

const valid = batch.map(({ payload }) => payload).filter((_, index) => index % 2 === 0)

describe("A batch that is stored by halves", () => {
  for (const first of [2, 6, 10, 14]) {
    it.live(`says what was decided before PostgreSQL went away at row ${first}, and of the rest that it is open`, () =>
      Effect.gen(function* () {
        const { tags, before, again, after } = yield* storeTwice(`>= ${first}`)
        const decided = (index: number) => (index % 2 === 0 ? "Stored" : "Rejected")
        assert.deepStrictEqual(
          tags,
          batch.map((_, index) => (index < first ? decided(index) : "Undecided"))
        )
        assert.deepStrictEqual(before, valid.slice(0, first / 2))
        assert.deepStrictEqual(again, Arr.makeBy(16 - first, decided))
        assert.deepStrictEqual(after, valid)
      })
    )

    it.live(`stores each payment once though one connection broke at row ${first}`, () =>
      Effect.gen(function* () {
        const { tags, before, after } = yield* storeTwice(`= ${first}`)
        const stored = batch.filter((_, index) => tags[index] === "Stored")
        assert.strictEqual(tags[first], "Undecided")
        assert.deepStrictEqual(
          before,
          stored.map(({ payload }) => payload)
        )
        assert.deepStrictEqual(after, valid)
      })
    )
  }
})
