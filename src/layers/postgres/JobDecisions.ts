/** What becomes of occurrences that are due, in PostgreSQL: one statement for many jobs, and a row's lock for each. */
import { Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { aheadMillis, type HeldRun } from "../../domain/JobRun.ts"
import type { Decision, Holder, Proposal } from "../../domain/ports/JobHistory.ts"
import { hasCome, instants, leaseMillis, toHeld } from "./JobStatements.ts"
import { textArray } from "./TextArrays.ts"

/** One for each occurrence that is kept, one for each job that was not decided, and one for the time. */
interface Row {
  readonly now: Date | null
  readonly job: string | null
  /** Of a job that was not decided. */
  readonly decided_until: Date | null
  readonly scheduled_for: Date | null
  readonly outcome: string | null
  readonly attempt: number | null
  readonly fencing_token: bigint | null
  readonly is_ahead: boolean | null
}

interface Occurrence {
  readonly job: string
  readonly at: number
  /** Empty of what is to be run. */
  readonly reason: string
}

const occurrencesOf = ({ job, reason, run, skip }: Proposal): ReadonlyArray<Occurrence> => [
  ...run.map((at) => ({ job, at, reason: "" })),
  ...skip.map((at) => ({ job, at, reason }))
]

// Whoever else decides the same job now holds its row, and is not waited for: what comes of it is seen the next time.
// Who has decided since the statement began is noticed, because a locked row is looked at again as it is then. The time
// that is told is the one that was gone by: who was too early comes again at once. What is decided before its instant
// begins at it: until then it is nothing that others overlap with, and its lease counts from there.
const statement = (
  sql: SqlClient.SqlClient,
  holder: Holder,
  proposals: ReadonlyArray<Proposal>,
  occurrences: ReadonlyArray<Occurrence>
) => sql<Row>`
  WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now), proposed AS MATERIALIZED (
    SELECT job, decided::timestamptz AS decided_until, until::timestamptz AS until
    FROM unnest(${textArray(proposals.map(({ job }) => job))},
      ${instants(proposals.map(({ decidedUntil }) => decidedUntil))}, ${instants(proposals.map(({ until }) => until))}
    ) AS given(job, decided, until)
  ), locked AS MATERIALIZED (
    SELECT kept.name, proposed.until FROM proposed CROSS JOIN LATERAL (
      SELECT name FROM scheduled_jobs WHERE name = proposed.job AND decided_until = proposed.decided_until
        AND paused_at IS NULL AND removed_at IS NULL FOR UPDATE SKIP LOCKED
    ) AS kept WHERE proposed.until <= (SELECT now FROM clock)
      OR (proposed.until <= (SELECT now FROM clock) + ${aheadMillis}::float8 * interval '1 millisecond'
        AND NOT EXISTS (SELECT FROM job_runs AS open WHERE open.job = proposed.job AND open.is_open))
  ), decided AS (
    UPDATE scheduled_jobs AS kept SET decided_until = locked.until FROM locked WHERE kept.name = locked.name
    RETURNING kept.name, kept.decided_until
  ), given AS MATERIALIZED (
    SELECT job, at::timestamptz AS at, reason, job IN (SELECT name FROM decided) AS is_decided
    FROM unnest(${textArray(occurrences.map(({ job }) => job))}, ${instants(occurrences.map(({ at }) => at))},
      ${textArray(occurrences.map(({ reason }) => reason))}) AS listed(job, at, reason)
  ), asked AS (
    SELECT given.job, given.at, given.reason, known.overlap,
      row_number() OVER (PARTITION BY given.job, given.reason = '' ORDER BY given.at) AS place,
      EXISTS (SELECT FROM job_runs AS open WHERE open.job = given.job AND open.is_open AND ${hasCome(sql, "open")})
        AS is_busy
    FROM given CROSS JOIN LATERAL (SELECT overlap FROM scheduled_jobs WHERE name = given.job OFFSET 0) AS known
    WHERE is_decided AND NOT EXISTS (SELECT FROM job_runs AS run
      WHERE run.job = given.job AND run.scheduled_for = given.at)
  ), fates AS (
    SELECT job, at, CASE WHEN reason <> '' THEN reason WHEN is_busy AND overlap = 'skip' THEN 'overlap' END AS reason,
      NOT is_busy AND place = 1 AS is_first FROM asked
  ), kept AS (
    INSERT INTO job_runs (job, scheduled_for, is_open, outcome, error, finished_at, attempt, fencing_token, replica,
      leased_until, started_at)
    SELECT job, at, reason IS NULL, CASE WHEN reason IS NOT NULL THEN 'skipped' END, reason,
      CASE WHEN reason IS NOT NULL THEN clock_timestamp() END,
      CASE WHEN reason IS NULL AND is_first THEN 1 ELSE 0 END,
      CASE WHEN reason IS NULL AND is_first THEN nextval('job_run_tokens') ELSE 0 END,
      CASE WHEN reason IS NULL AND is_first THEN ${holder.replica} END,
      greatest(clock_timestamp(), at)
        + CASE WHEN is_first THEN ${leaseMillis(holder)}::float8 ELSE 0 END * interval '1 millisecond',
      CASE WHEN reason IS NULL AND is_first THEN greatest(clock_timestamp(), at) END
    FROM fates ON CONFLICT DO NOTHING
    RETURNING job, scheduled_for, outcome, attempt, fencing_token, started_at > clock_timestamp() AS is_ahead
  )
  SELECT now, NULL AS job, NULL::timestamptz AS decided_until, NULL::timestamptz AS scheduled_for, NULL AS outcome,
    NULL::integer AS attempt, NULL::bigint AS fencing_token, NULL::boolean AS is_ahead FROM clock
  UNION ALL
  SELECT NULL, job, NULL, scheduled_for, outcome, attempt, fencing_token, is_ahead FROM kept
  UNION ALL
  SELECT NULL, known.name, known.decided_until, NULL, NULL, NULL, NULL, NULL
  FROM (SELECT job, job IN (SELECT name FROM decided) AS is_decided FROM proposed OFFSET 0) AS others
  CROSS JOIN LATERAL (SELECT name, decided_until FROM scheduled_jobs WHERE name = others.job OFFSET 0) AS known
  WHERE NOT is_decided`

const heldOf = (job: string, { attempt, fencing_token, is_ahead, scheduled_for }: Row): ReadonlyArray<HeldRun> =>
  scheduled_for === null || attempt !== 1 || fencing_token === null
    ? []
    : [toHeld({ job, scheduled_for, attempt, fencing_token, losses: 0, is_ahead: is_ahead === true })]

const decisionOf = ({ job, until }: Proposal, rows: ReadonlyArray<Row>): Decision => {
  const undecided = rows.find(({ decided_until }) => decided_until !== null)
  const [run] = rows.flatMap((row) => heldOf(job, row))
  const kept = rows.filter(({ scheduled_for }) => scheduled_for !== null)
  const skipped = kept.filter(({ outcome }) => outcome === "skipped").length
  return {
    job,
    decidedUntil: undecided?.decided_until?.getTime() ?? until,
    run,
    skipped,
    queued: kept.length - skipped - (run === undefined ? 0 : 1)
  }
}

/** Decides; `now` is the database's time. */
export const decide = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  holder: Holder,
  proposals: ReadonlyArray<Proposal>
) {
  const rows = yield* statement(sql, holder, proposals, proposals.flatMap(occurrencesOf))
  const byJob = Map.groupBy(rows, ({ job }) => job)
  const decisions = proposals.map((proposal) => decisionOf(proposal, byJob.get(proposal.job) ?? []))
  return { now: byJob.get(null)?.[0]?.now?.getTime() ?? 0, decisions }
})
