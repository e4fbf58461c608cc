/** A table of an old Python worker on PostgreSQL 18, which plans the insert's anti-join so that it turns rows round. */
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect } from "effect"
import { PaymentStore } from "../../src/domain/ports/PaymentStore.ts"
import * as EmbeddedPostgres from "../../src/layers/embedded/EmbeddedPostgres.ts"
import { query } from "../support/Databases.ts"
import { postgresPaymentStore } from "../support/Services.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"
import { payment } from "./PaymentStoreContract.ts"

const oldTable = `
  CREATE TABLE payments (
    id SERIAL PRIMARY KEY,
    received_at TIMESTAMP DEFAULT now(),
    payload JSONB NOT NULL,
    message_id VARCHAR(255),
    source_queue VARCHAR(255)
  );
  INSERT INTO payments (payload, message_id, source_queue)
    SELECT to_jsonb(n), 'old-' || n % 1000, 'q' FROM generate_series(1, 2000) n;
  ANALYZE payments`

/** New ids, each twice: first with one payload, then with another. */
const batchOf = (number: number) =>
  Arr.makeBy(20, (index) => payment(index % 2 === 0 ? '"first"' : '"second"', `${number}-${index >> 1}`))

describe("A table of an old Python worker, on PostgreSQL 18", () => {
  it.live("takes the first payment of an id that comes twice in a batch, and calls the second a conflict", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedPostgres.start({
        dataDirectory: join(yield* temporaryFolder("takeover"), "server")
      })
      yield* query(url, oldTable)
      const outcomes = yield* Effect.gen(function* () {
        const store = yield* PaymentStore
        yield* store.prepare
        return yield* Effect.forEach(Arr.range(1, 10), (number) => store.store("q", batchOf(number)))
      }).pipe(Effect.provide(postgresPaymentStore(url)))
      assert.deepStrictEqual(
        outcomes.flat().map(({ _tag }) => _tag),
        Arr.makeBy(200, (index) => (index % 2 === 0 ? "Stored" : "Conflict"))
      )
      const stored = "SELECT payload, count(*)::int FROM payments WHERE message_id NOT LIKE 'old-%' GROUP BY payload"
      assert.deepStrictEqual(yield* query(url, stored), [{ payload: "first", count: 100 }])
    })
  )
})
