import { readFile } from "node:fs/promises"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { query } from "../support/Databases.ts"
import type { Child } from "../support/servers/Child.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

const start = (runtime: Program.Runtime, PAYSTREAM_DATA: string, ...flags: ReadonlyArray<string>) =>
  Program.start({ runtime, args: ["--mode=demo", ...flags], env: { PAYSTREAM_DATA } })

const psql = /PGPASSWORD=\$\(cat (\S+)\) psql -h (\S+) -p (\d+) -U (\S+) (\S+)/

/** The address that the demonstration tells its user. */
const addressTold = (demo: Child) =>
  Effect.gen(function* () {
    const line = yield* demo.waitForLine(psql, { deadline: "60 seconds" })
    const [, file = "", host, port, user, database] = psql.exec(line) ?? []
    const password = (yield* Effect.promise(() => readFile(file, "utf8"))).trim()
    return Redacted.make(`postgres://${user}:${password}@${host}:${port}/${database}`)
  })

const rowsIn = (database: Redacted.Redacted) =>
  Effect.map(query<{ count: number }>(database, "SELECT count(*)::int FROM payments"), ([row]) => row?.count ?? 0)

/** Waits for more rows than `count`, while the demonstration runs: one that ends says why. */
const untilMoreRows = (demo: Child, database: Redacted.Redacted, count: number) =>
  Effect.raceFirst(
    eventually(
      Effect.map(rowsIn(database), (rows) => assert.isAbove(rows, count)),
      { deadline: "30 seconds", every: "100 millis" }
    ),
    Effect.map(demo.exit, (code) => assert.fail(`the demonstration ended with ${code}: ${demo.stderr.join("\n")}`))
  )

/** Makes the database of a demonstration spoil one payment of each run to come. */
const spoilPayments = (data: string, spoil: string) =>
  Effect.gen(function* () {
    const demo = yield* start("bun", data)
    const database = yield* addressTold(demo)
    yield* untilMoreRows(demo, database, 0)
    const ofOne = "WHEN (NEW.message_id LIKE '%-7' AND NEW.source_queue <> 'another')"
    yield* query(
      database,
      `CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${spoil}; RETURN NULL; END $$;
       CREATE TRIGGER spoil AFTER INSERT ON payments FOR EACH ROW ${ofOne} EXECUTE FUNCTION spoil()`
    )
    yield* demo.kill("SIGINT")
    assert.strictEqual(yield* demo.exit, 0)
  })

const copied =
  "INSERT INTO payments (payload, message_id, source_queue) VALUES (NEW.payload, NEW.message_id, 'another')"

describe.concurrent("the demonstration", () => {
  for (const [first, second] of [
    ["bun", "node"],
    ["node", "bun"]
  ] as const) {
    it.live(`stores a counted run to the last payment (${first}), and finds them all again later (${second})`, () =>
      Effect.gen(function* () {
        const data = yield* temporaryFolder("data")
        const counted = yield* start(first, data, "--count=1000")
        assert.strictEqual(yield* counted.exit, 0)
        assert.include(counted.stdout.at(-1), "1000 published, 1000 stored: none lost, none doubled")
        const shown = counted.stdout.filter((line) => line.includes(" received, "))
        for (const line of shown) assert.match(line, /^\d+ % {2}\d+ received, /)
        assert.include(shown.at(-1), "100 %  1000 received, 1000 stored")

        const endless = yield* start(second, data)
        const database = yield* addressTold(endless)
        yield* untilMoreRows(endless, database, 1000)
        yield* endless.kill("SIGINT")
        assert.strictEqual(yield* endless.exit, 0)
        assert.deepStrictEqual(endless.stderr, [])
      })
    )
  }

  it.live("runs beside another one in a folder of its own, and ends with 4 when stopped before its count", () =>
    Effect.gen(function* () {
      const data = yield* temporaryFolder("data")
      const demo = yield* start("node", data, "--count=100000000")
      yield* demo.waitForLine(/[1-9]\d* stored/, { deadline: "60 seconds" })
      yield* demo.kill("SIGTERM")
      assert.strictEqual(yield* demo.exit, 4)
      assert.match(demo.stderr.join("\n"), /stopped after \d+ of 100000000/)
    })
  )
})

describe("the demonstration of a database that spoils one payment", () => {
  for (const [what, spoil, says] of [
    ["is missing", "DELETE FROM payments WHERE id = NEW.id", /99 rows of 99 .*: \S+-7 is missing$/m],
    ["is doubled", copied, /101 rows of 100 .*: \S+-7 is there 2 times$/m]
  ] as const)
    it.live(`ends with 1 where it ${what}, and says which`, () =>
      Effect.gen(function* () {
        const data = yield* temporaryFolder("data")
        yield* spoilPayments(data, spoil)
        const counted = yield* start("node", data, "--count=100")
        assert.strictEqual(yield* counted.exit, 1)
        assert.match(counted.stderr.join("\n"), says)
      })
    )
})
