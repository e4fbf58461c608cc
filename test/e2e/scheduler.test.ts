/** Jobs as processes, on real servers: what an operator sees and does, and what is left when processes die. */
import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Random, Redacted } from "effect"
import * as Amqp from "../support/Amqp.ts"
import { query } from "../support/Databases.ts"
import * as HealthPages from "../support/HealthPages.ts"
import { OwnServers } from "../support/OwnServers.ts"
import * as Queues from "../support/Queues.ts"
import * as Stage from "../support/Stage.ts"
import { eventually, realSleep } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

const module = fileURLToPath(new URL("../support/workers/schedule.ts", import.meta.url))

const seed = process.env.CHAOS_SEED ?? String(Math.trunc(Math.random() * 1e9))

interface Ground {
  readonly env: Readonly<Record<string, string>>
  readonly journal: string
  readonly databaseUrl: string
}

const groundOn = Effect.fnUntraced(function* (brokerUrl: string, databaseUrl: string) {
  const journal = join(yield* temporaryFolder("journal"), "journal")
  const env = {
    RABBITMQ_URL: brokerUrl,
    DATABASE_URL: databaseUrl,
    JOBS: module,
    JOURNAL: journal,
    HEALTH_PORT: "0",
    LOG_FORMAT: "json"
  }
  return { env, journal, databaseUrl } satisfies Ground
})

const ground = Effect.flatMap(Stage.make, ({ brokerUrl, databaseUrl }) => groundOn(brokerUrl, databaseUrl))

const start = (
  { env }: Ground,
  args: ReadonlyArray<string>,
  { runtime = "bun", ...more }: Readonly<Record<string, string>> & { readonly runtime?: Program.Runtime } = {}
) => Program.start({ runtime, args, env: { ...env, ...more } })

const ran = (on: Ground, args: ReadonlyArray<string>, runtime: Program.Runtime = "bun") =>
  Effect.gen(function* () {
    const program = yield* start(on, args, { runtime })
    const code = yield* program.exit
    return { code, stdout: program.stdout.join("\n"), stderr: program.stderr.join("\n") }
  }).pipe(Effect.scoped)

const rows = <Row extends Record<string, unknown>>(on: Ground, statement: string) =>
  query<Row>(Redacted.make(on.databaseUrl), statement)

for (const runtime of Stage.runtimes)
  describe(`an operator of jobs on ${runtime}`, () => {
    it.live("lists them, runs one, and looks at what it did", () =>
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

    it.live("runs our own, which removes what was marked as deleted long ago", () =>
      Effect.gen(function* () {
        const on = yield* ground
        const { JOBS: _, ...env } = on.env
        const own = { ...on, env }
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

    it.live("gets the week's report as Markdown, which is published once to an exchange of its own", () =>
      Effect.gen(function* () {
        const on = yield* ground
        const exchange = `test-${randomUUID()}`
        const { JOBS: _, ...env } = { ...on.env, RABBITMQ_EXCHANGE: exchange }
        const own = { ...on, env }
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
          { deadline: "30 seconds" }
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

    it.live("is told what is wrong, by name", () =>
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

    it.live("adds a job that publishes, which a running scheduler takes up, pauses it and removes it", () =>
      Effect.gen(function* () {
        const on = yield* ground
        const topic = `bills-${randomUUID()}`
        const port = yield* freePort
        const scheduler = yield* start(on, ["--mode=scheduler"], { runtime, HEALTH_PORT: `${port}` })
        yield* HealthPages.waitForStatus(port, "/readyz", 200)
        const add = ["jobs", "add", "--name=bills", "--schedule=* * * * * *", `--publish-topic=${topic}`]
        const added = yield* ran(on, [...add, '--payload={"n":1}'], runtime)
        assert.match(added.stdout, /^bills: next at \d{4}-/, added.stderr)
        const succeeded = rows<{ count: number }>(
          on,
          "SELECT count(*)::int AS count FROM job_runs WHERE job = 'bills' AND outcome = 'succeeded'"
        )
        const atLeast = (least: number) =>
          eventually(
            Effect.map(succeeded, ([row]) => assert.isAtLeast(row?.count ?? 0, least)),
            { deadline: "20 seconds" }
          )
        yield* atLeast(2)
        const metrics = (yield* HealthPages.page(port, "/metrics")).text
        assert.match(metrics, /paystream_job_runs_total\{job="bills",outcome="succeeded"\} [1-9]/)
        for (const name of [
          "duration_seconds_count",
          "lateness_seconds_count",
          "next_run_timestamp_seconds",
          "running"
        ])
          assert.include(metrics, `paystream_job_${name}{job="bills"}`)
        assert.strictEqual((yield* ran(on, ["jobs", "pause", "bills"], runtime)).stdout, "bills: paused")
        const [paused] = JSON.parse((yield* ran(on, ["jobs", "--json"], runtime)).stdout)
        assert.deepInclude(paused, { name: "bills", isPaused: true, publishes: { topic, payload: { n: 1 } } })
        assert.strictEqual((yield* ran(on, ["jobs", "resume", "bills"], runtime)).stdout, "bills: resumed")
        const [before] = yield* succeeded
        yield* atLeast((before?.count ?? 0) + 1)
        assert.strictEqual((yield* ran(on, ["jobs", "remove", "--name=bills"], runtime)).stdout, "bills: removed")
        yield* scheduler.kill("SIGTERM")
        assert.strictEqual(yield* scheduler.exit, 0, scheduler.stderr.join("\n"))
      })
    )

    it.live("stops a scheduler, which interrupts and releases what does not end in time", () =>
      Effect.gen(function* () {
        const on = yield* ground
        const scheduler = yield* start(on, ["--mode=scheduler"], { runtime, SHUTDOWN_TIMEOUT_SECONDS: "5" })
        yield* scheduler.waitForLine(/starting/)
        yield* eventually(
          Effect.map(rows(on, "SELECT FROM scheduled_jobs WHERE name = 'endless'"), ({ length }) =>
            assert.strictEqual(length, 1)
          ),
          { deadline: "20 seconds" }
        )
        // As if it had been due a moment ago, and nobody had taken it up yet.
        yield* rows(
          on,
          "INSERT INTO job_runs (job, scheduled_for, is_open) VALUES ('endless', date_trunc('second', now()), true)"
        )
        yield* scheduler.waitForLine(/going on for ever/)
        yield* scheduler.kill("SIGTERM")
        assert.strictEqual(yield* scheduler.exit, 0, scheduler.stderr.join("\n"))
        const [run] = yield* rows(on, "SELECT outcome, is_open, attempt FROM job_runs WHERE job = 'endless'")
        assert.deepStrictEqual({ ...run }, { outcome: "interrupted", is_open: true, attempt: 1 })
        const next = yield* start(on, ["--mode=scheduler", "--job=endless"], { runtime })
        assert.include(yield* next.waitForLine(/going on for ever/), '"attempt":2')
      })
    )
  })

// --- Chaos

const jobsAtOnce = 8
const occurrences = 500

/** Runs of ticks that have ended well. */
const succeededCount = (on: Ground) =>
  Effect.map(
    rows<{ count: number }>(on, "SELECT count(*)::int AS count FROM job_runs WHERE outcome = 'succeeded'"),
    ([row]) => row?.count ?? 0
  )

const replica = Effect.fnUntraced(function* (on: Ground, index: number) {
  return yield* start(on, ["--mode=scheduler"], {
    runtime: Stage.runtimes[index % 2] ?? "bun",
    TICKS: `${jobsAtOnce}`,
    JOB_LEASE_SECONDS: "2"
  })
})

interface Ended {
  readonly job: string
  readonly at: string
  readonly outcome: string | null
  readonly fencing_token: string
}

layer(OwnServers.layer, { excludeTestServices: true, timeout: "60 seconds" })("five schedulers", (it) => {
  it.effect(
    "that are killed and frozen at random, with their database restarted, complete each occurrence once",
    () =>
      Effect.gen(function* () {
        console.log(`CHAOS_SEED=${seed}`)
        const { postgres, rabbitMq } = yield* OwnServers
        const on = yield* groundOn(rabbitMq.url, yield* postgres.createDatabase(`jobs-${randomUUID()}`))
        const replicas = yield* Effect.forEach([0, 1, 2, 3, 4], (index) => replica(on, index))
        yield* Effect.forEach(replicas, (one) => one.waitForLine(/starting/, { deadline: "60 seconds" }))
        let frozen = 0
        for (let round = 0; (yield* succeededCount(on)) < occurrences; round++) {
          assert.isBelow(round, 100, "rounds")
          const victim = yield* Random.nextIntBetween(0, 4)
          const what = round % 4
          if (what === 0) {
            yield* replicas[victim]?.kill("SIGKILL") ?? Effect.void
            yield* replicas[victim]?.exit ?? Effect.void
            replicas[victim] = yield* replica(on, victim)
          } else if (what === 1) {
            frozen++
            yield* replicas[victim]?.kill("SIGSTOP") ?? Effect.void
            // longer than its lease, and than another needs to take over
            yield* realSleep("5 seconds")
            yield* replicas[victim]?.kill("SIGCONT") ?? Effect.void
          } else if (what === 2 && round % 8 === 2) yield* postgres.restart
          yield* realSleep(yield* Random.nextIntBetween(500, 2000))
        }
        assert.isAbove(frozen, 1)
        // what is under way ends, and what was missed is caught up with
        yield* eventually(
          Effect.map(
            rows<{ behind: number }>(
              on,
              `SELECT count(*)::int AS behind FROM scheduled_jobs AS job WHERE name LIKE 'tick-%'
                 AND (decided_until < now() - interval '3 seconds' OR (SELECT count(*) FROM job_runs
                   WHERE job_runs.job = job.name AND is_open) > 2)`
            ),
            ([row]) => assert.strictEqual(row?.behind, 0)
          ),
          { deadline: "60 seconds" }
        )
        for (const one of replicas) yield* one.kill("SIGTERM")
        for (const one of replicas) assert.strictEqual(yield* one.exit, 0, one.stderr.join("\n"))
        const runs = yield* rows<Ended & Record<string, unknown>>(
          on,
          `SELECT job, (extract(epoch FROM scheduled_for) * 1000)::bigint::text AS at, outcome, fencing_token::text
             FROM job_runs WHERE NOT is_open ORDER BY job, scheduled_for`
        )
        checkRuns(runs, readFileSync(on.journal, "utf8").trim().split("\n"))
      }).pipe(Effect.scoped, Random.withSeed(seed)),
    { timeout: 240_000 }
  )
})

/** Each second of each job is completed once: nothing is left out, and what is recorded is what its last holder did. */
const checkRuns = (runs: ReadonlyArray<Ended>, lines: ReadonlyArray<string>): void => {
  assert.isAtLeast(runs.length, occurrences)
  assert.deepStrictEqual(
    runs.filter(({ outcome }) => outcome !== "succeeded"),
    []
  )
  for (const [job, own] of Map.groupBy(runs, (run) => run.job)) {
    const times = own.map(({ at }) => Number(at))
    const first = times[0] ?? 0
    assert.deepStrictEqual(
      times,
      times.map((_, index) => first + index * 1000),
      `${job} has left something out`
    )
  }
  const done = new Set(
    lines.map((line) =>
      line
        .split(" ")
        .filter((_, index) => index !== 2)
        .join(" ")
    )
  )
  const undone = runs.filter(({ at, fencing_token, job }) => !done.has(`${job} ${at} ${fencing_token}`))
  assert.deepStrictEqual(undone, [], "recorded, and not done by who recorded it")
  console.log(`${runs.length} occurrences, ${lines.length - runs.length} attempts that were not recorded`)
}
