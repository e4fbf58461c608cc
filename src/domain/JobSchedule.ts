/**
 * When a job runs: a cron expression on the clocks of a time zone, or a distance in time.
 *
 * Each local time that an expression names is one occurrence. One that the clocks skip happens at the first instant after
 * the skip, and several of them at that instant are one; one that they show twice happens the first time.
 */
import { Cron, Data, Result } from "effect"
import { type CronFields, nextNamed } from "./CronFields.ts"
import { instantOf, type WallClock, wallAt, wallClock } from "./WallClock.ts"

/** What is wrong with a schedule, and in which field of it. */
export class ScheduleMistake extends Data.TaggedError("ScheduleMistake")<{
  readonly field: string
  readonly detail: string
}> {
  override get message(): string {
    return `${this.field}: ${this.detail}`
  }
}

export interface JobSchedule {
  /** As it was written. */
  readonly expression: string
  readonly timeZone: string
  /** The first occurrence after an instant, both in milliseconds; `undefined` if there is none. */
  readonly next: (after: number) => number | undefined
}

const words: Readonly<Record<string, string>> = {
  "@hourly": "0 * * * *",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@weekly": "0 0 * * 0",
  "@monthly": "0 0 1 * *",
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *"
}

const fields = ["second", "minute", "hour", "day of month", "month", "day of week"]

const mistake = (field: string, detail: string) => Result.fail(new ScheduleMistake({ field, detail }))

/** The first field that is none, by itself. */
const problemOf = (parts: ReadonlyArray<string>): ScheduleMistake | undefined => {
  const problems = parts.flatMap((part, index) => {
    const alone = fields.map((_, at) => (at === index ? part : "*")).join(" ")
    const parsed = Cron.parse(alone)
    const detail = Result.isFailure(parsed) ? `${JSON.stringify(part)} is no field: ${parsed.failure.message}` : ""
    return detail === "" ? [] : [new ScheduleMistake({ field: fields[index] ?? "schedule", detail })]
  })
  return problems[0]
}

const nextOf = (cron: CronFields, clock: WallClock) => (after: number) => {
  let wall = nextNamed(cron, wallAt(clock, after))
  // Of what the clocks skip, all falls on one instant: it may be over.
  while (wall !== undefined && instantOf(clock, wall) <= after) wall = nextNamed(cron, wall)
  return wall === undefined ? undefined : instantOf(clock, wall)
}

/** Whichever it is: what never comes after it never comes. */
const anyInstant = Date.UTC(2001, 0, 1)

const cronOf = (expression: string, clock: WallClock): Result.Result<JobSchedule, ScheduleMistake> => {
  const given = (words[expression.toLowerCase()] ?? expression).trim().split(/\s+/)
  if (given.length !== 5 && given.length !== 6)
    return mistake("schedule", `${JSON.stringify(expression)} has ${given.length} fields, and takes five or six`)
  const parts = given.length === 5 ? ["0", ...given] : given
  const problem = problemOf(parts)
  if (problem !== undefined) return Result.fail(problem)
  const [, , , days = "*", months = "*", weekdays = "*"] = parts
  // As cron has always had it: two fields that name days add to each other, unless one begins with all of them.
  const needsBoth = days.startsWith("*") || weekdays.startsWith("*")
  const cron = { ...Cron.parseUnsafe(parts.join(" ")), needsBoth }
  if (nextNamed(cron, anyInstant) === undefined)
    return mistake("day of month", `${JSON.stringify(days)} never occurs in month ${JSON.stringify(months)}`)
  return Result.succeed({ expression, timeZone: clock.name, next: nextOf(cron, clock) })
}

const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** More often is no schedule, but a stream. */
const shortest = 1000
const longest = 366 * 86_400_000

/** Counted from 1970, so that everybody counts alike. */
const everyOf = (expression: string, clock: WallClock): Result.Result<JobSchedule, ScheduleMistake> => {
  const text = expression.slice("@every".length).trim()
  if (!/^(\d+[smhd])+$/.test(text))
    return mistake("schedule", `${JSON.stringify(expression)} takes a time such as 90s, 15m or 1h30m`)
  const millis = [...text.matchAll(/(\d+)([smhd])/g)].reduce(
    (sum, [, amount, unit = "s"]) => sum + Number(amount) * (units[unit] ?? 0),
    0
  )
  if (millis < shortest || millis > longest)
    return mistake("schedule", `${JSON.stringify(expression)} takes from one second to 366 days`)
  return Result.succeed({
    expression,
    timeZone: clock.name,
    next: (after) => (Math.floor(after / millis) + 1) * millis
  })
}

/** Reads a schedule: five or six fields, a word such as `@daily`, or `@every 90s`. */
export const parse = (expression: string, timeZone = "UTC"): Result.Result<JobSchedule, ScheduleMistake> => {
  const clock = wallClock(timeZone)
  if (clock === undefined) return mistake("timeZone", `${JSON.stringify(timeZone)} is no time zone that is known here`)
  if (/^@every\b/i.test(expression)) return everyOf(expression, clock)
  if (expression.startsWith("@") && !Object.hasOwn(words, expression.toLowerCase()))
    return mistake("schedule", `${JSON.stringify(expression)} is none of ${Object.keys(words).join(", ")}, @every`)
  return cronOf(expression, clock)
}

/** So many occurrences after an instant, or as many as there are. */
export const following = ({ next }: JobSchedule, after: number, count: number): ReadonlyArray<number> => {
  const found: Array<number> = []
  for (let at = next(after); at !== undefined && found.length < count; at = next(at)) found.push(at)
  return found
}
