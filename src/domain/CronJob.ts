/** A job on a schedule, and what is decided about its occurrences: pure, whoever decides. */
import type { JobSchedule } from "./JobSchedule.ts"

/** What becomes of an occurrence while the run before it goes on: it is skipped, or waits for its turn. */
export type Overlap = "skip" | "queue"

/** Which of the occurrences run that were missed while nothing ran: the last one, all of them (bounded), or none. */
export type CatchUp = "latest" | "all" | "none"

/** What a job's occurrences are decided by. */
export interface JobRules {
  readonly schedule: JobSchedule
  readonly overlap: Overlap
  readonly catchUp: CatchUp
}

/** Occurrences of one job that are due. */
export interface Due {
  /** To run, one after the other. */
  readonly run: ReadonlyArray<number>
  /** Missed, and not to be run. */
  readonly missed: ReadonlyArray<number>
  /** The newest of them: all up to it are decided. */
  readonly until: number
}

/** Of what is due at once, the newest so many are run or kept in the history: years of seconds are neither. */
export const mostDue = 100

/** What becomes of a run that was held before its instant, now that it has come. */
export type Fate = "begins" | "waits" | "overlap" | "withdrawn"

/** `rules`: of the job as it is now, unless it is paused or removed; `isOverlapping`: whether another run of it is open. */
export const fateOf = (rules: JobRules | undefined, scheduledFor: number, isOverlapping: boolean): Fate => {
  if (rules?.schedule.next(scheduledFor - 1) !== scheduledFor) return "withdrawn"
  if (!isOverlapping) return "begins"
  return rules.overlap === "skip" ? "overlap" : "waits"
}

/** An occurrence is run for so long after its time where none is caught up with: a database restarts in less. */
const punctualMillis = 60_000

const shortestWindow = 60_000

/** The newest occurrences in `(after, now]`, oldest first: so many of them at most. */
const newest = (schedule: JobSchedule, after: number, now: number): ReadonlyArray<number> => {
  for (let span = shortestWindow; ; span *= 4) {
    const from = Math.max(after, now - span)
    const found: Array<number> = []
    for (let at = schedule.next(from); at !== undefined && at <= now; at = schedule.next(at)) found.push(at)
    if (found.length >= mostDue || from === after) return found.slice(-mostDue)
  }
}

/** What is due at `now`, when all up to `decidedUntil` is decided; `undefined` if nothing is. */
export const due = ({ catchUp, schedule }: JobRules, decidedUntil: number, now: number): Due | undefined => {
  const found = newest(schedule, decidedUntil, now)
  const until = found.at(-1)
  if (until === undefined) return undefined
  const missed = found.slice(0, -1)
  switch (catchUp) {
    case "all":
      return { run: found, missed: [], until }
    case "latest":
      return { run: [until], missed, until }
    case "none":
      return now - until <= punctualMillis ? { run: [until], missed, until } : { run: [], missed: found, until }
  }
}
