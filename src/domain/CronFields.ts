/** The times that the fields of a cron expression name, on a clock that is never put forward or back. */
import type { Cron } from "effect"

const second = 1000
const day = 86_400 * second

/** What an expression names: of an empty set, everything. */
export interface CronFields extends Pick<Cron.Cron, "seconds" | "minutes" | "hours" | "days" | "months" | "weekdays"> {
  /** Whether a day has to be named by its number and by its weekday, where both name some: otherwise, either will do. */
  readonly needsBoth: boolean
}

/** Every date has come on every day of the week by then, over a turn of the century without a leap year too. */
const longestWait = 41 * 366

/** The smallest that a field names, from `least` on; a field that names nothing leaves everything open. */
const fromIn = (named: ReadonlySet<number>, least: number, last: number): number | undefined => {
  for (let value = least; value <= last; value++) if (named.size === 0 || named.has(value)) return value
  return undefined
}

/** The first named time of a day, in seconds, from `least` on. */
const timeFrom = (cron: CronFields, least: number): number | undefined => {
  const begun = Math.floor(least / 3600)
  for (let at = fromIn(cron.hours, begun, 23); at !== undefined; at = fromIn(cron.hours, at + 1, 23)) {
    const within = timeInHourFrom(cron, at === begun ? least % 3600 : 0)
    if (within !== undefined) return at * 3600 + within
  }
  return undefined
}

const timeInHourFrom = (cron: CronFields, least: number): number | undefined => {
  const begun = Math.floor(least / 60)
  for (let at = fromIn(cron.minutes, begun, 59); at !== undefined; at = fromIn(cron.minutes, at + 1, 59)) {
    const within = fromIn(cron.seconds, at === begun ? least % 60 : 0, 59)
    if (within !== undefined) return at * 60 + within
  }
  return undefined
}

const isNamedDay = (cron: CronFields, date: number): boolean => {
  if (cron.months.size + cron.days.size + cron.weekdays.size === 0) return true
  const at = new Date(date * day)
  if (cron.months.size > 0 && !cron.months.has(at.getUTCMonth() + 1)) return false
  const isDay = cron.days.size === 0 || cron.days.has(at.getUTCDate())
  const isWeekday = cron.weekdays.size === 0 || cron.weekdays.has(at.getUTCDay())
  if (cron.needsBoth || cron.days.size === 0 || cron.weekdays.size === 0) return isDay && isWeekday
  return isDay || isWeekday
}

/** The next time that is named after this one, in milliseconds; `undefined` if there is none. */
export const nextNamed = (cron: CronFields, after: number): number | undefined => {
  const first = Math.floor(after / day)
  for (let date = first; date <= first + longestWait; date++) {
    if (!isNamedDay(cron, date)) continue
    const time = timeFrom(cron, date === first ? Math.floor((after - date * day) / second) + 1 : 0)
    if (time !== undefined) return date * day + time * second
  }
  return undefined
}
