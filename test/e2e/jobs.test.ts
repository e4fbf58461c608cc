/** Jobs by command: what an operator sees of them and does, and what our own do. */
import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import * as Amqp from "../support/Amqp.ts"
import { inTurn } from "../support/inTurn.ts"
import { ground, ran, rows, start, withOwnJobs } from "../support/JobGround.ts"
import * as Queues from "../support/Queues.ts"
import * as Stage from "../support/Stage.ts"
import { eventually } from "../support/servers/eventually.ts"

for (const runtime of Stage.runtimes) {
  const live = inTurn(runtime)
  describe.concurrent(`an operator of jobs on ${runtime}`, () => {
    live("lists them, runs one, and looks at what it did", () =>
      Effect.gen(function* () {
        const on = yield* ground
        const listed = JSON.parse((yield* ran(on, ["jobs", "--json"], runtime)).stdout)
        assert.deepStrictEqual(
          listed.map(({ name }: { readonly name: string }) => name),
          ["endless", "failing", "nightly"]
        )
        assert.strictEqual(listed[2].next.length, 5)
        assert.match(listed[2].next[0], /T05:00:00\.000Z$/)
        const cards = (yield* ran(on, ["jobs"], runtime)).stdout
        assert.match(cards, /schedule +0 2 \* \* \* \(America\/Sao_Paulo\)\n +next +\d{4}-\d\d-\d\dT02:00:00-03:00 /)

        const done = yield* ran(on, ["runjob", "nightly", "--at=2026-03-01T05:00:00Z"], runtime)
        assert.strictEqual(done.code, 0, done.stderr)
        assert.match(done.stdout, /^nightly@2026-03-01T05:00:00\.000Z: succeeded in .*, attempt 1\n\{"removed":3\}$/)
        const line = JSON.parse(done.stderr.split("\n").find((one) => one.includes("looking for old rows")) ?? "{}")
        assert.deepInclude(line.annotations, { job: "nightly", run: "nightly@2026-03-01T05:00:00.000Z", attempt: 1 })
        assert.strictEqual(readFileSync(on.journal, "utf8").split(" ").slice(0, 3).join(" "), "nightly 1772341200000 1")

        const again = yield* ran(on, ["runjob", "nightly", "--at=2026-03-01T05:00:00Z"], runtime)
        assert.deepStrictEqual([again.code, again.stdout], [1, ""])
        assert.include(again.stderr, "nightly@2026-03-01T05:00:00.000Z has a run already (succeeded)")

        const failed = yield* ran(on, ["runjob", "failing"], runtime)
        assert.strictEqual(failed.code, 1)
        assert.include(failed.stderr, "no such column")
        const history = yield* ran(on, ["jobs", "history", "--failed", "--json"], runtime)
        const [run, ...others] = JSON.parse(history.stdout)
        assert.deepInclude(run, { job: "failing", outcome: "failed", attempt: 1, isManual: true })
        assert.match(run.error, /TypeError: no such column\n +at .*schedule\.ts/)
        assert.deepStrictEqual(others, [])
        assert.match((yield* ran(on, ["jobs", "history", "nightly"], runtime)).stdout, /nightly +2026-03-01T05/)
      })
    )

    live("runs our own, which removes what was marked as deleted long ago", () =>
      Effect.gen(function* () {
        const on = yield* ground
        const own = withOwnJobs(on)
        const listed = JSON.parse((yield* ran(own, ["jobs", "--json"], runtime)).stdout)
        assert.deepInclude(listed[0], { name: "database_cleanup", schedule: "0 2 * * *", timeZone: "UTC" })
        yield* rows(
          on,
          `INSERT INTO payments (payload, source_queue, deleted_at)
             SELECT '{}', 'q', now() - interval '1 day' * days FROM unnest(ARRAY[10, 89, 91, 400]) AS days`
        )
        const done = yield* ran(own, ["runjob", "database_cleanup"], runtime)
        assert.strictEqual(done.code, 0, done.stderr)
        assert.match(done.stdout, /succeeded in .*\n\{"payments":2,"paymentIntents":0\}$/)
        assert.strictEqual((yield* rows(on, "SELECT FROM payments")).length, 2)
      })
    )

    live("gets the week's report as Markdown, which is published once to an exchange of its own", () =>
      Effect.gen(function* () {
        const on = yield* ground
        const exchange = `test-${randomUUID()}`
        const own = withOwnJobs({ ...on, env: { ...on.env, RABBITMQ_EXCHANGE: exchange } })
        const queue = `${exchange}.reports`
        const isOurs = `weekly_report/2026-03-02`
        yield* Amqp.withChannel(async (channel) => {
          await channel.assertExchange("financial.events", "topic", { durable: true })
          await channel.assertQueue(queue, { durable: true })
          await channel.bindQueue(queue, "financial.events", "financial.reports.weekly")
        })
        yield* ran(own, ["--mode=migrate"], runtime)
        yield* rows(
          on,
          `INSERT INTO payments (payload, source_queue, received_at) SELECT
             '{"amount": "9007199254740993.01", "currency": "BRL"}', 'q', '2026-03-04T12:00:00Z'
             FROM generate_series(1, 2)`
        )
        for (const at of ["2026-03-09T08:00:00Z", "2026-03-10T09:00:00Z"]) {
          const done = yield* ran(own, ["runjob", "report_generator", "--print", `--at=${at}`], runtime)
          assert.strictEqual(done.code, 0, done.stderr)
          assert.match(done.stdout, /^# Payments from 2026-03-02 to 2026-03-09 \(UTC\)\n/)
          assert.include(done.stdout, "| BRL | 2 | 18014398509481986.02 |")
        }
        yield* start(own, ["--mode=outbox"], { runtime })
        yield* eventually(
          Effect.map(rows(on, "SELECT published_at IS NOT NULL AS done FROM outbox_events"), (found) =>
            assert.deepStrictEqual(
              found.map(({ done }) => done),
              [true]
            )
          ),
          { deadline: "60 seconds" }
        )
        const arrived = yield* Queues.takeAll(on.env.RABBITMQ_URL ?? "", queue)
        // The exchange is everybody's: a report of another test may be there.
        const ids = yield* rows<{ id: string }>(on, "SELECT id FROM outbox_events")
        const mine = arrived.filter(({ properties }) => properties.messageId === ids[0]?.id)
        assert.strictEqual(mine.length, 1)
        assert.strictEqual(JSON.parse(mine[0]?.content.toString() ?? "{}").id, isOurs)
        assert.deepStrictEqual(mine[0]?.properties.headers?.["x-paystream-exchange"], undefined)
        yield* Queues.remove(on.env.RABBITMQ_URL ?? "", queue)
      })
    )

    live("is told what is wrong, by name", () =>
      Effect.gen(function* () {
        const on = yield* ground
        const unknown = yield* ran(on, ["runjob", "nobody"], runtime)
        assert.deepStrictEqual([unknown.code, unknown.stdout], [2, ""])
        assert.include(unknown.stderr, 'there is no job "nobody"')
        const wrong = yield* ran(on, ["jobs", "add", "--name=x", "--schedule=0 25 * * *", "--publish-topic=t"], runtime)
        assert.strictEqual(wrong.code, 2)
        assert.include(wrong.stderr, 'job x: hour: "25" is no field')
        const never = yield* ran(on, ["jobs", "add", "--name=x", "--schedule=0 0 31 2 *", "--publish-topic=t"], runtime)
        assert.include(never.stderr, 'job x: day of month: "31" never occurs in month "2"')
        const missing = yield* ran(on, ["--mode=scheduler", "--job=nobody"], runtime)
        assert.strictEqual(missing.code, 2)
      })
    )
  })
}
