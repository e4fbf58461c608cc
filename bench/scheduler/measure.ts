/** A scheduler with many jobs that are due at the same instant, minute after minute. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Console, Duration, Effect } from "effect"
import type { Child } from "../../test/support/servers/Child.ts"
import * as Program from "../../test/support/servers/Program.ts"
import { attempt, check } from "../BenchmarkError.ts"
import type { Services } from "../worker/Services.ts"

export interface Plan {
  readonly jobs: number
  readonly minutes: number
  readonly runtime: Program.Runtime
  /** Over the seconds of the minute, and not all at the same instant. */
  readonly isSpread: boolean
}

export interface Figures {
  readonly runtime: Program.Runtime
  readonly isSpread: boolean
  /** In milliseconds, from the instant that a run was scheduled for to its first line. */
  readonly lateness: ReadonlyArray<number>
  readonly queriesPerSecond: number
  readonly residentMebibytes: number
}

const ask = <Row>(services: Services, what: string, statement: string) =>
  attempt(what, async () => (await services.postgres.query(statement)).rows as ReadonlyArray<Row>)

const launch = (services: Services, { isSpread, jobs, runtime }: Plan) =>
  Program.start({
    runtime,
    args: ["--mode=scheduler", `--jobs=${join(import.meta.dirname, "jobs.ts")}`],
    env: {
      RABBITMQ_URL: services.rabbitMqUrl,
      DATABASE_URL: services.databaseUrl,
      JOB_COUNT: String(jobs),
      JOB_SPREAD: String(isSpread),
      WORKER_MAX_CONCURRENT_JOBS: String(2 * jobs),
      // A line for each run is part of what it costs, but not of what is measured here.
      LOG_LEVEL: "warn",
      HEALTH_PORT: "0"
    }
  })

const residentOf = ({ pid }: Child): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? Number.NaN) / 1024

/** Statements that have ended in a database; those that ask for it too. */
const statements = (services: Services) =>
  Effect.map(
    ask<{ count: string }>(
      services,
      "count statements",
      "SELECT xact_commit + xact_rollback AS count FROM pg_stat_database WHERE datname = current_database()"
    ),
    ([row]) => Number(row?.count)
  )

const secondOfMinute = Effect.sync(() => (Date.now() / 1000) % 60)

const untilSecond = (second: number) =>
  Effect.flatMap(secondOfMinute, (now) => Effect.sleep(Duration.seconds((second - now + 60) % 60)))

/** Between two minutes, when nothing is due. */
const idleQueries = Effect.fnUntraced(function* (services: Services) {
  yield* untilSecond(30)
  const before = yield* statements(services)
  yield* Effect.sleep("20 seconds")
  // sessions tell of what they did at most a second late; ours have asked twice
  return ((yield* statements(services)) - before - 2) / 20
})

const waitForRuns = Effect.fnUntraced(function* (services: Services, wanted: number, seconds: number) {
  for (let left = seconds; left > 0; left--) {
    const [row] = yield* ask<{ count: number }>(
      services,
      "count runs",
      "SELECT count(*)::int AS count FROM job_runs WHERE outcome IS NOT NULL"
    )
    if ((row?.count ?? 0) >= wanted) return
    yield* Effect.sleep("1 second")
  }
})

/** Every job has one run in every minute, and each went well. */
const checkExact = Effect.fnUntraced(function* (services: Services, { isSpread, jobs, minutes }: Plan) {
  const rows = yield* ask<{ at: string; count: number; well: number }>(
    services,
    "look at the runs",
    `SELECT date_trunc('minute', scheduled_for)::text AS at, count(*)::int AS count,
       count(*) FILTER (WHERE outcome = 'succeeded' AND attempt = 1)::int AS well
     FROM job_runs GROUP BY 1 ORDER BY 1`
  )
  yield* check(rows.length >= minutes, `${rows.length} minutes, and ${minutes} were wanted`)
  // Those that are spread begin, and end, in the midst of a minute.
  const whole = isSpread ? rows.slice(1, -1) : rows
  const wrong = whole.filter(({ count, well }) => count !== jobs || well !== jobs)
  yield* check(wrong.length === 0, `not every job ran once, and well, at ${JSON.stringify(wrong)}`)
})

/** The figures of one runtime. */
export const measure = Effect.fnUntraced(function* (services: Services, plan: Plan) {
  yield* ask(services, "forget the round before", "TRUNCATE scheduled_jobs, job_runs")
  yield* untilSecond(5)
  const child = yield* launch(services, plan)
  const when = plan.isSpread ? "spread over the minute" : "at the same instant"
  yield* Console.error(`bench: ${plan.jobs} jobs ${when} on ${plan.runtime}, for ${plan.minutes} minutes`)
  yield* Effect.sleep("1 minute")
  const queriesPerSecond = plan.isSpread ? Number.NaN : yield* idleQueries(services)
  yield* waitForRuns(services, plan.jobs * plan.minutes, 60 * plan.minutes + 30)
  const residentMebibytes = residentOf(child)
  yield* child.kill("SIGTERM")
  const code = yield* child.exit
  yield* check(code === 0, `the scheduler ended with ${code}, having written:\n${child.stderr.slice(-20).join("\n")}`)
  yield* checkExact(services, plan)
  const rows = yield* ask<{ late: number }>(
    services,
    "read how late they were",
    "SELECT result::text::float8 AS late FROM job_runs WHERE outcome = 'succeeded'"
  )
  const figures: Figures = {
    runtime: plan.runtime,
    isSpread: plan.isSpread,
    lateness: rows.map(({ late }) => late),
    queriesPerSecond,
    residentMebibytes
  }
  return figures
}, Effect.scoped)
