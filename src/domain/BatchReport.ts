/** What became of messages: of a batch, or of all so far. */

/** Counts that add up to the messages taken. */
export interface BatchReport {
  readonly stored: number
  readonly duplicates: number
  readonly deadLettered: number
  /** Given back to the queue, because the worker was asked to stop while the database was away. */
  readonly returned: number
}

export const empty: BatchReport = { stored: 0, duplicates: 0, deadLettered: 0, returned: 0 }

export const add = (one: BatchReport, other: BatchReport): BatchReport => ({
  stored: one.stored + other.stored,
  duplicates: one.duplicates + other.duplicates,
  deadLettered: one.deadLettered + other.deadLettered,
  returned: one.returned + other.returned
})

/** Those that are gone from the queue for good. */
export const settled = ({ deadLettered, duplicates, stored }: BatchReport): number => stored + duplicates + deadLettered

/** All that the worker has received. */
export const taken = (report: BatchReport): number => settled(report) + report.returned
