/** Schedulers as processes: what running ones take up, and what they leave when they stop. */
import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import * as HealthPages from "../support/HealthPages.ts"
import { inTurn } from "../support/inTurn.ts"
import { ground, ran, rows, start } from "../support/JobGround.ts"
import * as Stage from "../support/Stage.ts"
import { eventually } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"

/** Six of them start side by side. */
const soon = { deadline: "60 seconds" } as const

for (const runtime of Stage.runtimes) {
  const live = inTurn(runtime)
  describe.concurrent(`a scheduler on ${runtime}`, () => {
    live("takes up a job that publishes when it is added, paused and removed", () =>
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
            soon
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
        yield* eventually(
          Effect.map(HealthPages.page(port, "/metrics"), ({ text }) =>
            assert.include(text, 'paystream_job_next_run_timestamp_seconds{job="bills"} 0\n')
          ),
          soon
        )
        const [paused] = JSON.parse((yield* ran(on, ["jobs", "--json"], runtime)).stdout)
        assert.deepInclude(paused, { name: "bills", isPaused: true, publishes: { topic, payload: { n: 1 } } })
        assert.strictEqual((yield* ran(on, ["jobs", "resume", "bills"], runtime)).stdout, "bills: resumed")
        const [before] = yield* succeeded
        yield* atLeast((before?.count ?? 0) + 1)
        assert.strictEqual((yield* ran(on, ["jobs", "remove", "bills"], runtime)).stdout, "bills: removed")
        yield* scheduler.kill("SIGTERM")
        assert.strictEqual(yield* scheduler.exit, 0, scheduler.stderr.join("\n"))
      })
    )

    live("does not begin what it holds for an instant if its job is paused a moment before", () =>
      Effect.gen(function* () {
        const on = yield* ground
        const [port, key] = [yield* freePort, "a-key-of-the-test"]
        const options = { runtime, HEALTH_PORT: `${port}`, API_KEYS: key, TICKS: "1" }
        const scheduler = yield* start(on, ["--mode=scheduler"], options)
        yield* HealthPages.waitForStatus(port, "/readyz", 200)
        const post = (action: string) =>
          Effect.promise(async () => {
            const body = new URLSearchParams({ job: "slow-0", action, key })
            return (await fetch(`http://127.0.0.1:${port}/jobs`, { method: "POST", body, redirect: "manual" })).status
          })
        const held = eventually(
          Effect.map(
            rows<{ at: string }>(
              on,
              `SELECT scheduled_for::text AS at FROM job_runs
               WHERE job = 'slow-0' AND is_open AND started_at > clock_timestamp()`
            ),
            ([row]) => row?.at ?? assert.fail("nothing is held")
          ),
          soon
        )
        const pausedInTime = Effect.gen(function* () {
          const at = yield* held
          assert.strictEqual(yield* post("pause"), 303)
          const [row] = yield* rows<{ isEarly: boolean; until: number }>(
            on,
            `SELECT paused_at < '${at}' AS "isEarly", (extract(epoch FROM '${at}'::timestamptz) * 1000)::float8 AS until
             FROM scheduled_jobs WHERE name = 'slow-0'`
          )
          if (row?.isEarly) return { at, millis: row.until }
          assert.strictEqual(yield* post("resume"), 303)
          return assert.fail("it was begun already")
        })
        const { at, millis } = yield* eventually(pausedInTime, soon)
        yield* eventually(
          Effect.map(
            rows(
              on,
              `SELECT outcome, error, attempt, is_open, started_at FROM job_runs
               WHERE job = 'slow-0' AND scheduled_for = '${at}'`
            ),
            ([run]) =>
              assert.deepStrictEqual(
                { ...run },
                { outcome: "skipped", error: "withdrawn", attempt: 0, is_open: false, started_at: null }
              )
          ),
          soon
        )
        assert.strictEqual(yield* post("resume"), 303)
        yield* eventually(
          Effect.map(
            rows<{ count: number }>(
              on,
              `SELECT count(*)::int AS count FROM job_runs
               WHERE job = 'slow-0' AND scheduled_for > '${at}' AND outcome = 'succeeded' AND attempt = 1`
            ),
            ([row]) => assert.isAtLeast(row?.count ?? 0, 1)
          ),
          soon
        )
        assert.include(scheduler.stdout.join("\n"), "skipped, since they were paused, changed or removed")
        assert.notInclude(readFileSync(on.journal, "utf8"), `slow-0 ${millis} `)
      })
    )

    live("that stops interrupts and releases what does not end in time", () =>
      Effect.gen(function* () {
        const on = yield* ground
        const scheduler = yield* start(on, ["--mode=scheduler"], { runtime, SHUTDOWN_TIMEOUT_SECONDS: "5" })
        yield* scheduler.waitForLine(/starting/, soon)
        yield* eventually(
          Effect.map(rows(on, "SELECT FROM scheduled_jobs WHERE name = 'endless'"), ({ length }) =>
            assert.strictEqual(length, 1)
          ),
          soon
        )
        // As if it had been due a moment ago, and nobody had taken it up yet.
        yield* rows(
          on,
          "INSERT INTO job_runs (job, scheduled_for, is_open) VALUES ('endless', date_trunc('second', now()), true)"
        )
        yield* scheduler.waitForLine(/going on for ever/, soon)
        yield* scheduler.kill("SIGTERM")
        assert.strictEqual(yield* scheduler.exit, 0, scheduler.stderr.join("\n"))
        for (const told of [
          "stopping: finishing what is in flight; a second signal stops at once",
          "waiting for runs to end (1), for up to 3s",
          "has not ended in time: it is interrupted and released"
        ])
          assert.include(scheduler.stdout.join("\n"), told)
        const [run] = yield* rows(on, "SELECT outcome, is_open, attempt FROM job_runs WHERE job = 'endless'")
        assert.deepStrictEqual({ ...run }, { outcome: "interrupted", is_open: true, attempt: 1 })
        const next = yield* start(on, ["--mode=scheduler", "--job=endless"], { runtime })
        assert.include(yield* next.waitForLine(/going on for ever/, soon), '"attempt":2')
      })
    )

    live("forgets what is older than its history is to be, and is called as it is told", () =>
      Effect.gen(function* () {
        const on = yield* ground
        yield* ran(on, ["--mode=migrate"], runtime)
        yield* rows(
          on,
          `INSERT INTO job_runs (job, scheduled_for, is_open, outcome)
             SELECT 'nightly', now() - interval '1 day' * days, false, 'succeeded' FROM unnest(ARRAY[1, 3]) AS days`
        )
        const told = { JOB_HISTORY_RETENTION: "2 days", SERVICE_NAME_WORKER: "our-jobs" }
        const scheduler = yield* start(on, ["--mode=scheduler"], { runtime, ...told })
        const line = JSON.parse(yield* scheduler.waitForLine(/"starting"/, soon))
        assert.strictEqual(line.annotations.service, "our-jobs")
        yield* eventually(
          Effect.map(rows(on, "SELECT FROM job_runs"), ({ length }) => assert.strictEqual(length, 1)),
          soon
        )
      })
    )
  })
}
