/**
 * Runs of payment workers in PostgreSQL. Who claims holds the run's row, so that claims of many processes come one after
 * the other; who counts holds but its own share's, so that they count side by side.
 */
import { Duration, Effect, Layer, Result } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"
import { RunMismatch, WorkerRuns } from "../../domain/ports/WorkerRuns.ts"
import { counted, grantOf, mournedFor, type RunProgress, type RunShare, type RunTerms } from "../../domain/WorkerRun.ts"
import { constraintOf } from "./SqlState.ts"
import type { StatementOptions } from "./Statements.ts"
import * as Tables from "./Tables.ts"
import { withinGrant } from "./WorkerRunsTable.ts"

interface RunRow {
  readonly source_queue: string
  readonly max_messages: number | null
  readonly is_done: boolean
}

interface Sums {
  readonly stored: number
  readonly duplicates: number
  readonly dead_lettered: number
  readonly granted: number
  /** Of the holder who asks; `null` where there is no limit. */
  readonly own: number | null
}

const limitText = (limit: number | undefined): string =>
  limit === undefined ? "without MAX_MESSAGES" : `with MAX_MESSAGES=${limit}`

/** A run begun on other terms is another run. */
const checkTerms = (run: RunTerms, row: RunRow | undefined): Effect.Effect<void, RunMismatch> => {
  const limit = row?.max_messages ?? undefined
  if (row === undefined || (row.source_queue === run.queue && limit === run.maxMessages)) return Effect.void
  const detail =
    `the run ${run.id} was begun for the queue ${row.source_queue} ${limitText(limit)}, ` +
    `and not for ${run.queue} ${limitText(run.maxMessages)}: give this one another RUN_ID`
  return Effect.fail(new RunMismatch({ detail }))
}

const progressOf = (sums: Sums, isDone: boolean): RunProgress => ({
  totals: { stored: sums.stored, duplicates: sums.duplicates, deadLettered: sums.dead_lettered },
  isDone
})

const none: Sums = { stored: 0, duplicates: 0, dead_lettered: 0, granted: 0, own: null }

/** Statements about one share, to be run within a transaction of theirs. */
const about = (sql: SqlClient.SqlClient, { holder, lease, run }: RunShare) => {
  const millisOf = (duration: Duration.Duration) =>
    sql`${Duration.toMillis(duration)}::float8 * interval '1 millisecond'`
  const leaseEnd = sql`clock_timestamp() + ${millisOf(lease)}`
  const row = (lock: Fragment) =>
    Effect.map(
      sql<RunRow>`
        SELECT source_queue, max_messages::float8 AS max_messages, done_at IS NOT NULL AS is_done
        FROM worker_runs WHERE run_id = ${run.id} ${lock}`,
      ([found]) => found
    )
  return {
    begin: sql`
      INSERT INTO worker_runs (run_id, source_queue, max_messages)
      VALUES (${run.id}, ${run.queue}, ${run.maxMessages ?? null}) ON CONFLICT DO NOTHING`,
    /** Whoever claims meanwhile waits. */
    hold: row(sql`FOR UPDATE`),
    look: row(sql``),
    join: sql`
      INSERT INTO worker_run_shares (holder, run_id, granted, leased_until)
      VALUES (${holder}::uuid, ${run.id}, ${run.maxMessages === undefined ? null : 0}, ${leaseEnd})
      ON CONFLICT (holder) DO UPDATE SET leased_until = EXCLUDED.leased_until, left_at = NULL, is_idle = false`,
    /** What holders have left behind that nothing was heard of. */
    reclaim: sql`
      UPDATE worker_run_shares SET granted = stored + duplicates + dead_lettered
      WHERE run_id = ${run.id} AND leased_until < clock_timestamp() AND granted > stored + duplicates + dead_lettered`,
    grant: (fresh: number) =>
      sql`UPDATE worker_run_shares SET granted = granted + ${fresh}::bigint WHERE holder = ${holder}::uuid`,
    finish: sql`UPDATE worker_runs SET done_at = clock_timestamp() WHERE run_id = ${run.id} AND done_at IS NULL`,
    sums: Effect.map(
      sql<Sums>`
        SELECT coalesce(sum(stored), 0)::float8 AS stored, coalesce(sum(duplicates), 0)::float8 AS duplicates,
          coalesce(sum(dead_lettered), 0)::float8 AS dead_lettered, coalesce(sum(granted), 0)::float8 AS granted,
          (sum(granted - stored - duplicates - dead_lettered) FILTER (WHERE holder = ${holder}::uuid))::float8 AS own
        FROM worker_run_shares WHERE run_id = ${run.id}`,
      ([sums]) => sums ?? none
    ),
    renew: sql`UPDATE worker_run_shares SET leased_until = ${leaseEnd} WHERE holder = ${holder}::uuid`,
    rest: sql`UPDATE worker_run_shares SET is_idle = true, leased_until = ${leaseEnd} WHERE holder = ${holder}::uuid`,
    isAnyBusy: Effect.map(
      sql`
        SELECT FROM worker_run_shares
        WHERE run_id = ${run.id} AND NOT is_idle AND left_at IS NULL AND CASE
          WHEN leased_until >= clock_timestamp()
          THEN granted IS NULL OR granted > stored + duplicates + dead_lettered
          ELSE leased_until + ${millisOf(mournedFor)} >= clock_timestamp() END`,
      (busy) => busy.length > 0
    ),
    countDeadLetters: (count: number) => sql`
      UPDATE worker_run_shares SET dead_lettered = dead_lettered + ${count}::bigint, is_idle = false
      WHERE holder = ${holder}::uuid`,
    giveBack: sql`
      UPDATE worker_run_shares SET granted = stored + duplicates + dead_lettered,
        leased_until = clock_timestamp(), left_at = clock_timestamp()
      WHERE holder = ${holder}::uuid`
  }
}

/** Where the run stands: done as soon as all that it may settle is counted. */
const standing = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, share: RunShare, row: RunRow | undefined) {
  const sums = yield* about(sql, share).sums
  const { totals } = progressOf(sums, false)
  const isComplete = counted(totals) >= (row?.max_messages ?? Number.POSITIVE_INFINITY)
  return { sums, progress: { totals, isDone: isComplete || row?.is_done === true } }
})

/** The same, and kept: what is done stays so. */
const standingKept = (sql: SqlClient.SqlClient, share: RunShare, row: RunRow | undefined) =>
  Effect.tap(standing(sql, share, row), ({ progress: { isDone } }) =>
    isDone && row?.is_done === false ? Effect.asVoid(about(sql, share).finish) : Effect.void
  )

const claim = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, share: RunShare) {
  const { begin, grant, hold, join, reclaim } = about(sql, share)
  yield* begin
  const row = yield* hold
  yield* checkTerms(share.run, row)
  yield* Effect.andThen(join, reclaim)
  const { progress, sums } = yield* standingKept(sql, share, row)
  if (progress.isDone) return { ...progress, left: 0, fresh: 0 }
  const { maxMessages } = share.run
  if (maxMessages === undefined) return { ...progress, left: Number.POSITIVE_INFINITY, fresh: Number.POSITIVE_INFINITY }
  const fresh = grantOf(maxMessages - sums.granted)
  if (fresh > 0) yield* grant(fresh)
  return { ...progress, left: (sums.own ?? 0) + fresh, fresh }
})

const idle = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, share: RunShare) {
  const { finish, hold, isAnyBusy, rest } = about(sql, share)
  const row = yield* hold
  if (row === undefined) return false
  yield* rest
  if (row.is_done) return true
  if (yield* isAnyBusy) return false
  yield* finish
  return true
})

const leave = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, share: RunShare) {
  const { giveBack, hold } = about(sql, share)
  const row = yield* hold
  yield* giveBack
  return (yield* standingKept(sql, share, row)).progress
})

const renew = Effect.fnUntraced(function* (sql: SqlClient.SqlClient, share: RunShare) {
  const { look, renew: extend } = about(sql, share)
  yield* extend
  const row = yield* look
  yield* checkTerms(share.run, row)
  return (yield* standing(sql, share, row)).progress
})

/** Other terms are an answer, and no fault of the database. */
const mismatchAside = <A>(work: Effect.Effect<A, SqlError.SqlError | RunMismatch>) =>
  Effect.matchEffect(work, {
    onSuccess: (answer): Effect.Effect<Result.Result<A, RunMismatch>, SqlError.SqlError> =>
      Effect.succeed(Result.succeed(answer)),
    onFailure: (error) => (error._tag === "RunMismatch" ? Effect.succeed(Result.fail(error)) : Effect.fail(error))
  })

const make = Effect.fnUntraced(function* (options: StatementOptions) {
  const { run, sql } = yield* Tables.make(options)

  const countDeadLetters = (share: RunShare, count: number) =>
    Effect.as(about(sql, share).countDeadLetters(count), true).pipe(
      Effect.catchIf(
        (error) => constraintOf(error) === withinGrant,
        () => Effect.succeed(false)
      )
    )

  return WorkerRuns.of({
    claim: (share) => Effect.flatMap(run(sql.withTransaction(mismatchAside(claim(sql, share)))), Effect.fromResult),
    renew: (share) => Effect.flatMap(run(mismatchAside(renew(sql, share))), Effect.fromResult),
    countDeadLetters: (share, count) => run(countDeadLetters(share, count)),
    idle: (share) => run(sql.withTransaction(idle(sql, share))),
    leave: (share) => run(sql.withTransaction(leave(sql, share)))
  })
})

/** On a pool of connections; connects when first used. */
export const layer = (options: StatementOptions): Layer.Layer<WorkerRuns, never, SqlClient.SqlClient> =>
  Layer.effect(WorkerRuns, make(options))
