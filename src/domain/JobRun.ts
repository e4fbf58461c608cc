/** Runs of jobs: one for each occurrence, whoever does it and however often it is begun. */

/** How a run ended. What was `interrupted` may be taken up again, as a further attempt. */
export type Outcome = "succeeded" | "failed" | "timed_out" | "skipped" | "interrupted"

/** Which occurrence of which job. */
export interface Occurrence {
  readonly job: string
  /** The instant that it was scheduled for, in milliseconds. */
  readonly scheduledFor: number
}

/** A run that somebody holds: nobody else does, until its lease is over. */
export interface HeldRun extends Occurrence {
  /** From 1; above it, an earlier attempt may have done half of the work. */
  readonly attempt: number
  /** Larger for each later holder of a run: who writes it along can tell a holder that is late. */
  readonly fencingToken: bigint
  /** Holders of it that were not heard of any more: those that stopped and said so do not count. */
  readonly losses: number
  /** Its instant was still to come when it was held: it begins then, and is held by a lease from then on. */
  readonly isAhead: boolean
}

/** A run as it is kept. */
export interface KeptRun extends Occurrence {
  readonly attempt: number
  readonly isManual: boolean
  /** It is run, or waits to be. */
  readonly isOpen: boolean
  readonly outcome: Outcome | undefined
  readonly startedAt: number | undefined
  readonly finishedAt: number | undefined
  readonly error: string | undefined
  /** JSON. */
  readonly result: string | undefined
  readonly replica: string | undefined
}

/**
 * So many holders may be lost, and not one more: a machine dies now and then, but what is run when all of these die is to
 * blame, and would take whole schedulers with it for ever.
 */
export const maxLosses = 5

/** An occurrence may be decided, and its run held, so long before its instant. */
export const aheadMillis = 1500

/** How a run is called in logs, traces and messages: the same for all of its attempts. */
export const runId = ({ job, scheduledFor }: Occurrence): string => `${job}@${new Date(scheduledFor).toISOString()}`

/** Characters of an error that are kept. */
const longestError = 8000
/** Characters of a result, as JSON, that are kept. */
const longestResult = 16_000

/** No database takes this character. */
const printable = (text: string): string => text.replaceAll("\0", "\u{fffd}")

/** What is kept of an error. */
export const keptError = (text: string): string =>
  printable(text.length <= longestError ? text : `${text.slice(0, longestError)}…`)

/** What is kept of what a job gave: nothing of nothing, and of what is too long, how long it was. */
export const keptResult = (value: unknown): string | undefined => {
  const text = value === undefined || value === null ? undefined : JSON.stringify(value)
  if (text === undefined || text.length <= longestResult) return text
  return JSON.stringify({ tooLong: text.length })
}
