/** Jobs and their runs in words: how commands and pages show them. */
import { DateTime, Duration, Option, Result } from "effect"
import type { KeptRun } from "./JobRun.ts"
import { following, parse } from "./JobSchedule.ts"
import type { KeptJob } from "./ports/JobHistory.ts"

/** An instant on the clocks of a zone, with its offset. */
export const shownIn = (timeZone: string, at: number): string =>
  Option.match(DateTime.makeZoned(at, { timeZone }), {
    onNone: () => new Date(at).toISOString(),
    onSome: (zoned) => DateTime.formatIsoOffset(zoned).replace(".000", "")
  })

/** The next occurrences of a job, so many at most; none while it is paused. */
export const nextOf = (
  { isPaused, schedule, timeZone }: KeptJob,
  now: number,
  count: number
): ReadonlyArray<number> => {
  const parsed = parse(schedule, timeZone)
  return isPaused || Result.isFailure(parsed) ? [] : following(parsed.success, now, count)
}

/** A time that was taken; none at all has a unit too. */
export const timeTaken = (millis: number): string => (millis < 1 ? "0ms" : Duration.format(Duration.millis(millis)))

/** How long a run took. */
export const tookOf = ({ finishedAt, startedAt }: KeptRun): string =>
  finishedAt === undefined || startedAt === undefined ? "-" : timeTaken(finishedAt - startedAt)

/** How a run ended, or that it has not. */
export const endOf = ({ attempt, isOpen, outcome }: KeptRun): string => {
  if (outcome !== undefined) return isOpen ? `${outcome}, to be taken up` : outcome
  return attempt === 0 ? "waits" : "running"
}
