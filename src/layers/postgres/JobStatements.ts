/** What statements about jobs and their runs have in common: lists of values as parameters, and what rows become. */
import { Duration } from "effect"
import type { HeldRun, KeptRun, Outcome } from "../../domain/JobRun.ts"
import type { Holder } from "../../domain/ports/JobHistory.ts"
import { textArray } from "./TextArrays.ts"

/** Instants, as text that loses nothing. */
export const instants = (values: ReadonlyArray<number>) => textArray(values.map((at) => new Date(at).toISOString()))
/** Whatever can be said as text and cast. */
export const castable = (values: ReadonlyArray<number | bigint | boolean>) => textArray(values.map(String))

export const leaseMillis = ({ lease }: Holder): number => Duration.toMillis(lease)

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
}

export const toHeld = ({ attempt, fencing_token, job, losses, scheduled_for }: HeldRow): HeldRun => ({
  job,
  scheduledFor: scheduled_for.getTime(),
  attempt,
  fencingToken: fencing_token,
  losses
})

export interface KeptRow extends Omit<HeldRow, "losses"> {
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
