/** What statements about jobs and their runs have in common: lists of values as parameters, and what rows become. */
import { Duration } from "effect"
import type { SqlClient } from "effect/sql"
import type { HeldRun, KeptRun, Outcome } from "../../domain/JobRun.ts"
import type { Holder } from "../../domain/ports/JobHistory.ts"
import { textArray } from "./TextArrays.ts"

/** Instants, as text that loses nothing; many of a list are the same as a rule. */
export const instants = (values: ReadonlyArray<number>) => {
  const known = new Map(values.map((at) => [at, ""]))
  for (const at of known.keys()) known.set(at, new Date(at).toISOString())
  return textArray(values.map((at) => known.get(at)))
}

/** Whatever can be said as text and cast. */
export const castable = (values: ReadonlyArray<number | bigint | boolean>) => textArray(values.map(String))

export const leaseMillis = ({ lease }: Holder): number => Duration.toMillis(lease)

/** Of a run, unless it is held for an instant that is still to come. */
export const hasCome = (sql: SqlClient.SqlClient, runs: string) =>
  sql.literal(`(${runs}.started_at > clock_timestamp()) IS NOT TRUE`)

/** The columns of a list of runs that somebody holds. */
export const heldColumns = (runs: ReadonlyArray<HeldRun>) => ({
  jobs: textArray(runs.map(({ job }) => job)),
  times: instants(runs.map(({ scheduledFor }) => scheduledFor)),
  tokens: castable(runs.map(({ fencingToken }) => fencingToken))
})

export interface HeldRow {
  readonly job: string
  readonly scheduled_for: Date
  readonly attempt: number
  readonly fencing_token: bigint
  readonly losses: number
  readonly is_ahead: boolean
}

export const toHeld = ({ attempt, fencing_token, is_ahead, job, losses, scheduled_for }: HeldRow): HeldRun => ({
  job,
  scheduledFor: scheduled_for.getTime(),
  attempt,
  fencingToken: fencing_token,
  losses,
  isAhead: is_ahead
})

export interface KeptRow extends Omit<HeldRow, "losses" | "is_ahead"> {
  readonly is_manual: boolean
  readonly is_open: boolean
  readonly outcome: Outcome | null
  readonly started_at: Date | null
  readonly finished_at: Date | null
  readonly error: string | null
  readonly result: string | null
  readonly replica: string | null
}

export const toKept = (row: KeptRow): KeptRun => ({
  job: row.job,
  scheduledFor: row.scheduled_for.getTime(),
  attempt: row.attempt,
  isManual: row.is_manual,
  isOpen: row.is_open,
  outcome: row.outcome ?? undefined,
  startedAt: row.started_at?.getTime(),
  finishedAt: row.finished_at?.getTime(),
  error: row.error ?? undefined,
  result: row.result ?? undefined,
  replica: row.replica ?? undefined
})
