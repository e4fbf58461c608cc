/** Runs of jobs in PostgreSQL: who holds them, what came of them, and what is kept. */
import { Duration, Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { type Outcome, runId } from "../../domain/JobRun.ts"
import type { Ending, JobHistory, RunCount } from "../../domain/ports/JobHistory.ts"
import {
  castable,
  type HeldRow,
  hasCome,
  heldColumns,
  type KeptRow,
  leaseMillis,
  toHeld,
  toKept
} from "./JobStatements.ts"
import { channel } from "./JobTables.ts"
import type { make as makeTables } from "./Tables.ts"
import { textArray } from "./TextArrays.ts"

type Tables = Effect.Success<ReturnType<typeof makeTables>>

type Part<Names extends keyof JobHistory["Service"]> = Pick<JobHistory["Service"], Names>

const endingColumns = (endings: ReadonlyArray<Ending>) => ({
  ...heldColumns(endings.map(({ run }) => run)),
  attempts: castable(endings.map(({ run }) => run.attempt)),
  outcomes: textArray(endings.map(({ outcome }) => outcome)),
  released: castable(endings.map(({ isReleased }) => isReleased)),
  errors: textArray(endings.map(({ error }) => error)),
  results: textArray(endings.map(({ result }) => result)),
  starts: textArray(endings.map(({ startedAt }) => (startedAt === undefined ? undefined : instant(startedAt))))
})

const recordStatement = (sql: SqlClient.SqlClient, endings: ReadonlyArray<Ending>) => {
  const { attempts, errors, jobs, outcomes, released, results, starts, times, tokens } = endingColumns(endings)
  return sql<{ job: string; scheduled_for: Date; has_waiting: boolean }>`
    UPDATE job_runs AS run SET attempt = ended.attempt::integer, outcome = ended.outcome, error = ended.error,
      result = ended.result::json, is_open = ended.outcome IS NULL OR ended.released::boolean,
      finished_at = CASE WHEN ended.outcome IS NOT NULL THEN clock_timestamp() END,
      started_at = CASE WHEN ended.attempt = '0' THEN NULL WHEN ended.started IS NULL THEN run.started_at
        ELSE least(ended.started::timestamptz, clock_timestamp()) END,
      leased_until = CASE WHEN ended.released::boolean THEN clock_timestamp() ELSE run.leased_until END
    FROM unnest(${jobs}, ${times}, ${tokens}, ${attempts}, ${outcomes}, ${released}, ${errors}, ${results},
      ${starts}) AS ended(job, scheduled_for, token, attempt, outcome, released, error, result, started)
    WHERE run.job = ended.job AND run.scheduled_for = ended.scheduled_for::timestamptz
      AND run.fencing_token = ended.token::bigint AND run.is_open
    RETURNING run.job, run.scheduled_for, EXISTS (
      SELECT FROM job_runs AS other WHERE other.job = run.job AND other.is_open AND other.leased_until <= clock_timestamp()
    ) AS has_waiting`
}

const keptColumns = (sql: SqlClient.SqlClient) =>
  sql.literal(
    `job, scheduled_for, attempt, fencing_token, is_manual, is_open, outcome, started_at, finished_at, error,
  result::text AS result, replica`
  )

const held = (rows: ReadonlyArray<HeldRow>) => rows.map(toHeld)
const kept = (rows: ReadonlyArray<KeptRow>) => rows.map(toKept)

const instant = (at: number): string => new Date(at).toISOString()

const millis = (sql: SqlClient.SqlClient, count: number) => sql`${count}::float8 * interval '1 millisecond'`

const later = (sql: SqlClient.SqlClient, count: number) => sql`clock_timestamp() + ${millis(sql, count)}`

// Who stops before the instant of a run that it holds releases it: whoever takes it up begins it at that instant.
const begins = (sql: SqlClient.SqlClient) =>
  sql.literal("CASE WHEN run.is_manual THEN clock_timestamp() ELSE greatest(clock_timestamp(), run.scheduled_for) END")

const taking = ({ run, sql }: Tables): Part<"takeWaiting" | "takeNow"> => ({
  // The oldest of what is open of each job: it holds up the others, whether it is held or not. Thousands of names are
  // hashed, and no condition of an index: that is prepared anew for each job that it is looked up for.
  takeWaiting: (holder, jobs, limit) =>
    Effect.map(
      run(sql<HeldRow>`
          WITH waiting AS MATERIALIZED (
            SELECT run.job, run.scheduled_for FROM job_runs AS run
            JOIN scheduled_jobs AS kept ON kept.name = run.job AND kept.paused_at IS NULL
            WHERE run.is_open AND run.leased_until <= clock_timestamp()
              AND (run.job IN (SELECT unnest(${textArray(jobs)}))) IS TRUE
              AND NOT EXISTS (SELECT FROM job_runs AS older
                WHERE older.job = run.job AND older.is_open AND older.scheduled_for < run.scheduled_for)
            ORDER BY run.scheduled_for LIMIT ${limit} FOR UPDATE OF run SKIP LOCKED
          )
          UPDATE job_runs AS run SET attempt = run.attempt + 1, fencing_token = nextval('job_run_tokens'),
            replica = ${holder.replica}, finished_at = NULL, outcome = NULL,
            started_at = ${begins(sql)}, leased_until = ${begins(sql)} + ${millis(sql, leaseMillis(holder))},
            losses = run.losses + (run.attempt > 0 AND run.outcome IS NULL)::integer
          FROM waiting WHERE run.job = waiting.job AND run.scheduled_for = waiting.scheduled_for
          RETURNING run.job, run.scheduled_for, run.attempt, run.fencing_token, run.losses,
            run.started_at > clock_timestamp() AS is_ahead`),
      held
    ),
  takeNow: (holder, job, at) =>
    Effect.map(
      run(sql<HeldRow>`
          INSERT INTO job_runs (job, scheduled_for, is_manual, is_open, attempt, fencing_token, replica, leased_until,
            started_at)
          SELECT ${job}, coalesce(${at === undefined ? null : new Date(at).toISOString()}::timestamptz,
              date_trunc('milliseconds', clock_timestamp())), true, true, 1, nextval('job_run_tokens'),
            ${holder.replica}, ${later(sql, leaseMillis(holder))}, clock_timestamp()
          WHERE NOT EXISTS (SELECT FROM job_runs AS open
            WHERE open.job = ${job} AND open.is_open AND ${hasCome(sql, "open")})
          ON CONFLICT DO NOTHING RETURNING job, scheduled_for, attempt, fencing_token, losses, false AS is_ahead`),
      (rows) => held(rows)[0]
    )
})

const recording = ({ run, sql }: Tables): Part<"renew" | "record" | "overlapping"> => ({
  renew: Effect.fnUntraced(function* (holder, runs) {
    const { jobs, times, tokens } = heldColumns(runs)
    const rows = yield* run(sql<{ fencing_token: bigint }>`
        UPDATE job_runs AS run SET leased_until = ${later(sql, leaseMillis(holder))}
        FROM unnest(${jobs}, ${times}, ${tokens}) AS held(job, scheduled_for, token)
        WHERE run.job = held.job AND run.scheduled_for = held.scheduled_for::timestamptz
          AND run.fencing_token = held.token::bigint AND run.is_open
        RETURNING run.fencing_token`)
    const renewed = new Set(rows.map(({ fencing_token }) => fencing_token))
    return runs.filter(({ fencingToken }) => !renewed.has(fencingToken))
  }),
  record: Effect.fnUntraced(function* (endings) {
    const rows = yield* run(recordStatement(sql, endings))
    if (endings.some(({ isReleased }) => isReleased)) yield* run(sql`SELECT pg_notify(${channel}, '')`)
    const recorded = new Set(
      rows.map(({ job, scheduled_for }) => runId({ job, scheduledFor: scheduled_for.getTime() }))
    )
    const refused = endings.filter((ending) => !recorded.has(runId(ending.run)))
    return { refused: refused.map((ending) => ending.run), hasWaiting: rows.some(({ has_waiting }) => has_waiting) }
  }),
  overlapping: Effect.map(
    run(sql<{ job: string }>`SELECT job FROM job_runs WHERE is_open GROUP BY job HAVING count(*) > 1`),
    (rows) => rows.map(({ job }) => job)
  )
})

interface CountRow extends Omit<RunCount, "outcome"> {
  readonly outcome: Outcome | null
}

const reading = ({ run, sql }: Tables): Part<"runs" | "lastRuns" | "countRuns" | "find" | "forget"> => {
  const columns = keptColumns(sql)
  return {
    runs: ({ job, limit, onlyFailed }) =>
      Effect.map(
        run(sql<KeptRow>`
          SELECT ${columns} FROM job_runs
          WHERE ${hasCome(sql, "job_runs")} AND ${job === undefined ? sql`true` : sql`job = ${job}`}
            AND ${onlyFailed ? sql`outcome IN ('failed', 'timed_out')` : sql`true`}
          ORDER BY scheduled_for DESC, job LIMIT ${limit}`),
        kept
      ),
    lastRuns: (jobs, most) =>
      Effect.map(
        run(sql<KeptRow>`
          SELECT last.* FROM unnest(${textArray(jobs)}) AS asked(name) CROSS JOIN LATERAL (
            SELECT ${columns} FROM job_runs WHERE job = asked.name AND ${hasCome(sql, "job_runs")}
            ORDER BY scheduled_for DESC LIMIT ${most}
          ) AS last ORDER BY last.job, last.scheduled_for DESC`),
        kept
      ),
    // How much is read follows from the jobs and the limit, however often they run.
    countRuns: ({ after, jobs, most, spanMillis, until }) =>
      Effect.map(
        run(sql<CountRow>`
          WITH given AS (SELECT ${instant(after)}::timestamptz AS after, ${instant(until)}::timestamptz AS until)
          SELECT asked.name AS job, newest.outcome, count(*)::integer AS count,
            ceil(extract(epoch FROM newest.scheduled_for - given.after) * 1000 / ${spanMillis}::integer)::integer - 1 AS span
          FROM given CROSS JOIN unnest(${textArray(jobs)}) AS asked(name) CROSS JOIN LATERAL (
            SELECT scheduled_for, outcome FROM job_runs
            WHERE job = asked.name AND scheduled_for > given.after AND scheduled_for <= given.until
            ORDER BY scheduled_for DESC LIMIT ${most}
          ) AS newest GROUP BY asked.name, span, newest.outcome`),
        (rows) => rows.map(({ outcome, ...row }): RunCount => ({ ...row, outcome: outcome ?? undefined }))
      ),
    find: ({ job, scheduledFor }) =>
      Effect.map(
        run(sql<KeptRow>`
          SELECT ${columns} FROM job_runs
          WHERE job = ${job} AND scheduled_for = ${new Date(scheduledFor).toISOString()}::timestamptz`),
        (rows) => kept(rows)[0]
      ),
    // now() and not the clock: an index is looked up with it, and ends where nothing is old.
    forget: (age, limit) => {
      const keptSince = sql`now() - ${Duration.toMillis(age)}::float8 * interval '1 millisecond'`
      return Effect.map(
        run(sql<{ removed: number }>`
          WITH old AS (
            SELECT job, scheduled_for FROM job_runs
            WHERE scheduled_for < ${keptSince}
              AND (NOT is_open OR (attempt > 0 AND leased_until < ${keptSince}))
            ORDER BY scheduled_for LIMIT ${limit} FOR UPDATE SKIP LOCKED
          ), removed AS (
            DELETE FROM job_runs AS run USING old
            WHERE run.job = old.job AND run.scheduled_for = old.scheduled_for RETURNING 1
          ) SELECT count(*)::int AS removed FROM removed`),
        ([row]) => row?.removed ?? 0
      )
    }
  }
}

/** The part of the history that is about runs. */
export const make = (tables: Tables) => ({ ...taking(tables), ...recording(tables), ...reading(tables) })
