/** The command that erases a person's data, as an operator runs it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { query } from "../support/Databases.ts"
import * as Stage from "../support/Stage.ts"

describe.concurrent("erase", () => {
  for (const runtime of Stage.runtimes) {
    it.live(`says what it would do, does it, notes it, and says what is left (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const url = Redacted.make(stage.databaseUrl)
        const erase = (...args: ReadonlyArray<string>) => Stage.run(stage, { runtime, args: ["erase", ...args] })
        // makes the tables where there are none
        const empty = yield* erase("--payer=Ana Souza", "--json")
        assert.strictEqual(empty.code, 0, empty.stderr)
        const payload = '{"order_id": "order-1", "amount": "1.00", "customer": "Ana Souza"}'
        yield* query(url, "INSERT INTO payments (source_queue, message_id, payload) VALUES ('q', 'm', $1)", [payload])
        yield* query(url, "INSERT INTO outbox_events (topic, key, payload) VALUES ('t', 'm', $1)", [payload])

        const rows = (found: string) =>
          JSON.parse(found).tables.filter((table: { rows: number; left: number }) => table.rows + table.left > 0)
        const expected = [
          { table: "payments", rows: 1, left: 0 },
          { table: "outbox_events", rows: 0, left: 1 }
        ]
        const dry = yield* erase("--payer=Ana Souza", "--dry-run", "--json")
        assert.deepStrictEqual([dry.code, rows(dry.stdout)], [0, expected])
        assert.lengthOf(yield* query(url, "SELECT 1 FROM payments WHERE payload ->> 'customer' = 'Ana Souza'"), 1)

        const done = yield* erase("--payment=m", "--by=operator", "--json")
        assert.deepStrictEqual([done.code, rows(done.stdout)], [1, expected])
        assert.match(done.stderr, /1 rows? (is|are) left.*erase once more/)
        yield* query(url, "UPDATE outbox_events SET published_at = now()")
        const again = yield* erase("--payer=Ana Souza", "--by=operator")
        assert.strictEqual(again.code, 0, again.stderr)
        assert.match(again.stdout, /^outbox_events +1 +0$/m)
        assert.match(again.stdout, /^not reached: messages and dead letters in the broker/m)

        const [payment] = yield* query<{ payload: unknown }>(url, "SELECT payload FROM payments")
        assert.deepStrictEqual(payment?.payload, { order_id: "order-1", amount: "1.00", customer: "[erased]" })
        const noted = yield* query(
          url,
          "SELECT erased_by, subject FROM erasures WHERE erased_by = 'operator' ORDER BY id"
        )
        assert.deepStrictEqual(noted, [
          { erased_by: "operator", subject: "payment" },
          { erased_by: "operator", subject: "payer" }
        ])
      })
    )
  }

  it.live("ends with 2 where a name is empty: a script's variable was not set", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      const { code, stderr } = yield* Stage.run(stage, { runtime: "bun", args: ["erase", "--payer="] })
      assert.strictEqual(code, 2)
      assert.match(stderr, /not empty/)
    })
  )

  it.live("ends with 2 when nobody says whose data it is", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      const { code, stderr } = yield* Stage.run(stage, { runtime: "bun", args: ["erase"] })
      assert.strictEqual(code, 2)
      assert.match(stderr, /--payer, --payment or --transaction/)
    })
  )
})
