/** Jobs on a schedule, and what has become of their occurrences, in PostgreSQL. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Stream } from "effect"
import type { SqlClient } from "effect/sql"
import type { CatchUp, Overlap } from "../../domain/CronJob.ts"
import {
  type JobDefinition,
  JobHistory,
  JobNameTaken,
  type JobsPage,
  type KeptJob
} from "../../domain/ports/JobHistory.ts"
import { decide } from "./JobDecisions.ts"
import * as JobRunStatements from "./JobRunStatements.ts"
import { channel } from "./JobTables.ts"
import * as Notifications from "./Notifications.ts"
import { toStoreError } from "./SqlState.ts"
import type { StatementOptions } from "./Statements.ts"
import * as Tables from "./Tables.ts"
import { textArray } from "./TextArrays.ts"

/** A job, and how many there are; none of it on a page of no jobs. */
interface PageRow extends JobRow {
  readonly now: Date
  readonly total: number
}

interface JobRow {
  readonly name: string
  readonly schedule: string
  readonly time_zone: string
  readonly overlap: Overlap
  readonly catch_up: CatchUp
  readonly topic: string | null
  readonly payload: string | null
  readonly decided_until: Date
  readonly is_paused: boolean
  readonly is_removed: boolean
}

const toJob = (row: JobRow): KeptJob => ({
  name: row.name,
  schedule: row.schedule,
  timeZone: row.time_zone,
  overlap: row.overlap,
  catchUp: row.catch_up,
  publishes: row.topic === null || row.payload === null ? undefined : { topic: row.topic, payload: row.payload },
  decidedUntil: row.decided_until.getTime(),
  isPaused: row.is_paused,
  isRemoved: row.is_removed
})

const toPage = (rows: ReadonlyArray<PageRow | Partial<PageRow>>, asked: number, size: number): JobsPage => {
  const pages = Math.max(1, Math.ceil((rows[0]?.total ?? 0) / size))
  const jobs = rows.flatMap((row) => (row.name == null ? [] : [toJob(row as PageRow)]))
  return { now: rows[0]?.now?.getTime() ?? 0, jobs, page: Math.min(asked, pages), pages }
}

/** Longer than any transaction that changes a job: who asks what has changed since then has missed none. */
const overlapMillis = 30_000

const nameTaken = (name: string, isDeclared: boolean) =>
  new JobNameTaken({
    detail: isDeclared
      ? `the job ${name} is declared in code, and there is one of that name that was added by hand: remove that (jobs remove ${name}), or call this one otherwise`
      : `the job ${name} is declared in code: one that is added by hand needs another name`
  })

/**
 * Keeps jobs of one kind; the names of those that it could, and did. Another schedule begins now, though an occurrence of
 * the one before may be decided up to a moment from now.
 */
const keepStatement = (sql: SqlClient.SqlClient, jobs: ReadonlyArray<JobDefinition>) => sql<{ name: string }>`
  INSERT INTO scheduled_jobs AS kept (name, schedule, time_zone, overlap, catch_up, topic, payload)
  SELECT * FROM unnest(${textArray(jobs.map(({ name }) => name))}, ${textArray(jobs.map(({ schedule }) => schedule))},
    ${textArray(jobs.map(({ timeZone }) => timeZone))}, ${textArray(jobs.map(({ overlap }) => overlap))},
    ${textArray(jobs.map(({ catchUp }) => catchUp))}, ${textArray(jobs.map(({ publishes }) => publishes?.topic))},
    ${textArray(jobs.map(({ publishes }) => publishes?.payload))}) AS given(name) ORDER BY name
  ON CONFLICT (name) DO UPDATE SET schedule = excluded.schedule, time_zone = excluded.time_zone,
    overlap = excluded.overlap, catch_up = excluded.catch_up, topic = excluded.topic, payload = excluded.payload,
    removed_at = NULL, changed_at = clock_timestamp(),
    decided_until = CASE
      WHEN kept.schedule = excluded.schedule AND kept.time_zone = excluded.time_zone AND kept.removed_at IS NULL
      THEN kept.decided_until
      ELSE date_trunc('milliseconds', clock_timestamp()) END
  WHERE kept.removed_at IS NOT NULL OR (kept.topic IS NULL) = (excluded.topic IS NULL)
  RETURNING name`

const columns = (sql: SqlClient.SqlClient) =>
  sql.literal(
    `name, schedule, time_zone, overlap, catch_up, topic, payload, decided_until,
  paused_at IS NOT NULL AS is_paused, removed_at IS NOT NULL AS is_removed`
  )

// Whoever asks for a page beyond the last one, from which jobs were removed meanwhile, gets the last one.
const pageStatement = (sql: SqlClient.SqlClient, page: number, size: number) => sql<PageRow | Partial<PageRow>>`
  SELECT known.now, known.total, kept.* FROM (
    SELECT clock_timestamp() AS now, count(*)::integer AS total FROM scheduled_jobs WHERE removed_at IS NULL
  ) AS known LEFT JOIN LATERAL (
    SELECT ${columns(sql)} FROM scheduled_jobs WHERE removed_at IS NULL ORDER BY name LIMIT ${size}
    OFFSET ${size}::integer * least(${page - 1}::integer, greatest(0, (known.total - 1) / ${size}::integer))
  ) AS kept ON true ORDER BY kept.name`

const make = Effect.fnUntraced(function* (options: StatementOptions) {
  const tables = yield* Tables.make(options)
  const { run, sql } = tables
  const client = yield* PgClient.PgClient

  const keep = Effect.fnUntraced(function* (jobs: ReadonlyArray<JobDefinition>, isDeclared: boolean) {
    if (jobs.length === 0) return
    const rows = yield* run(keepStatement(sql, jobs))
    const names = new Set(rows.map(({ name }) => name))
    const taken = jobs.find(({ name }) => !names.has(name))
    if (taken !== undefined) return yield* nameTaken(taken.name, isDeclared)
  })

  return JobHistory.of({
    ...JobRunStatements.make(tables),
    register: (jobs) => keep(jobs, true),
    add: (job) => keep([job], false),
    remove: (name) =>
      Effect.map(
        run(sql`
          WITH removed AS (
            UPDATE scheduled_jobs SET removed_at = clock_timestamp(), changed_at = clock_timestamp()
            WHERE name = ${name} AND topic IS NOT NULL AND removed_at IS NULL RETURNING name
          ), closed AS (
            UPDATE job_runs SET is_open = false, outcome = 'skipped', error = 'removed', finished_at = clock_timestamp()
            FROM removed WHERE job = removed.name AND is_open AND attempt = 0
          ) SELECT name FROM removed`),
        (rows) => rows.length > 0
      ),
    pause: (name, isPaused) =>
      Effect.map(
        run(sql`
          UPDATE scheduled_jobs SET changed_at = clock_timestamp(),
            paused_at = CASE WHEN ${isPaused} THEN coalesce(paused_at, clock_timestamp()) END,
            decided_until = CASE WHEN paused_at IS NULL OR ${isPaused} THEN decided_until
              ELSE greatest(decided_until, date_trunc('milliseconds', clock_timestamp())) END
          WHERE name = ${name} AND removed_at IS NULL RETURNING name`),
        (rows) => rows.length > 0
      ),
    jobs: Effect.fnUntraced(function* (since) {
      const [time] = yield* run(sql<{ now: Date }>`SELECT clock_timestamp() AS now`)
      const rows = yield* run(sql<JobRow>`
        SELECT ${columns(sql)} FROM scheduled_jobs
        WHERE ${
          since === undefined
            ? sql`removed_at IS NULL`
            : sql`changed_at >= ${new Date(since - overlapMillis).toISOString()}::timestamptz`
        }
        ORDER BY name`)
      return { now: time?.now.getTime() ?? 0, jobs: rows.map(toJob) }
    }),
    page: (page, size) => Effect.map(run(pageStatement(sql, page, size)), (rows) => toPage(rows, page, size)),
    job: (name) =>
      Effect.map(
        run(sql<JobRow>`SELECT ${columns(sql)} FROM scheduled_jobs WHERE name = ${name} AND removed_at IS NULL`),
        ([row]) => row && toJob(row)
      ),
    hints: Notifications.on(client, channel).pipe(
      Stream.map(() => undefined),
      Stream.mapError(toStoreError(options.address))
    ),
    decide: (holder, proposals) => run(decide(sql, holder, proposals))
  })
})

/** The history on a pool of connections; connects, and makes its tables, when first used. Listening opens one of its own. */
export const layer = (
  options: StatementOptions
): Layer.Layer<JobHistory, never, PgClient.PgClient | SqlClient.SqlClient> => Layer.effect(JobHistory, make(options))
