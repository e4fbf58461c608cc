/** Schedules: what people write, what the clocks do to it, and a second opinion about both. */
import { assert, describe, it } from "@effect/vitest"
import { Cron } from "croner"
import { Arbitrary, Result, Schema } from "effect"
import { following, parse } from "../../src/domain/JobSchedule.ts"

const minute = 60_000
const day = 86_400_000

const shown = (expression: string, timeZone: string, after: string, count: number) => {
  const schedule = Result.getOrThrow(parse(expression, timeZone))
  return following(schedule, Date.parse(after), count).map((at) => new Date(at).toISOString().replace(":00.000Z", "Z"))
}

const mistakeIn = (expression: string, timeZone?: string) => {
  const parsed = parse(expression, timeZone)
  return Result.isFailure(parsed) ? parsed.failure.message : assert.fail(`${expression} was taken`)
}

describe("A schedule", () => {
  for (const [expression, ...expected] of [
    ["30 8 * * 1-5", "2026-01-01T08:30Z", "2026-01-02T08:30Z", "2026-01-05T08:30Z"],
    ["0 9 * JAN,mar Mon", "2026-01-05T09:00Z", "2026-01-12T09:00Z", "2026-01-19T09:00Z"],
    ["0 0 13 * 5", "2026-01-02T00:00Z", "2026-01-09T00:00Z", "2026-01-13T00:00Z"],
    ["0 0 29 2 *", "2028-02-29T00:00Z", "2032-02-29T00:00Z", "2036-02-29T00:00Z"],
    ["0 */20 6-7 * * *", "2026-01-01T06:00Z", "2026-01-01T06:20Z", "2026-01-01T06:40Z"],
    ["@hourly", "2026-01-01T01:00Z", "2026-01-01T02:00Z", "2026-01-01T03:00Z"],
    ["@daily", "2026-01-02T00:00Z", "2026-01-03T00:00Z", "2026-01-04T00:00Z"],
    ["@weekly", "2026-01-04T00:00Z", "2026-01-11T00:00Z", "2026-01-18T00:00Z"],
    ["@monthly", "2026-02-01T00:00Z", "2026-03-01T00:00Z", "2026-04-01T00:00Z"],
    ["@yearly", "2027-01-01T00:00Z", "2028-01-01T00:00Z", "2029-01-01T00:00Z"],
    ["@every 1h30m", "2026-01-01T01:30Z", "2026-01-01T03:00Z", "2026-01-01T04:30Z"]
  ] as const)
    it(`of ${expression} is kept`, () => {
      assert.deepStrictEqual(shown(expression, "UTC", "2026-01-01T00:00:00Z", 3), [...expected])
    })

  it("counts seconds where it has six fields, and from 1970 where it has a distance", () => {
    const seconds = (expression: string) => following(Result.getOrThrow(parse(expression)), 0, 3).map((at) => at / 1000)
    assert.deepStrictEqual(seconds("*/25 * * * * *"), [25, 50, 60])
    assert.deepStrictEqual(seconds("@every 90s"), [90, 180, 270])
  })

  for (const [expression, zone, message] of [
    ["61 * * * *", "UTC", 'minute: "61" is no field: Expected a value between 0 and 59'],
    ["0 0 1 tem *", "UTC", 'month: "tem" is no field: Expected a positive integer'],
    ["0 0 * * 8", "UTC", 'day of week: "8" is no field: Expected a value between 0 and 7'],
    ["x 0 0 * * *", "UTC", 'second: "x" is no field: Expected a positive integer'],
    ["0 0 30 2 *", "UTC", 'day of month: "30" never occurs in month "2"'],
    ["0 0 31 4,6,9,11 *", "UTC", 'day of month: "31" never occurs in month "4,6,9,11"'],
    ["* * *", "UTC", 'schedule: "* * *" has 3 fields, and takes five or six'],
    ["@every soon", "UTC", 'schedule: "@every soon" takes a time such as 90s, 15m or 1h30m'],
    ["@every 0s", "UTC", 'schedule: "@every 0s" takes from one second to 366 days'],
    ["0 0 * * *", "Mars/Olympus", 'timeZone: "Mars/Olympus" is no time zone that is known here']
  ] as const)
    it(`of ${expression} in ${zone} is refused, and says why`, () => {
      assert.strictEqual(mistakeIn(expression, zone), message)
    })

  it("that is one of a few words or a distance, and neither, is told all the words", () => {
    assert.match(mistakeIn("@fortnightly"), /^schedule: "@fortnightly" is none of @hourly, @daily, .*, @every$/)
  })
})

describe("Where clocks change, an occurrence", () => {
  it("in the hour that does not exist happens once, at the first instant after it", () => {
    const after = "2026-03-28T12:00:00Z"
    const gap = ["2026-03-29T01:00Z", "2026-03-30T00:30Z"]
    assert.deepStrictEqual(shown("30 2 * * *", "Europe/Berlin", after, 2), gap)
    assert.deepStrictEqual(shown("*/30 2 * * *", "Europe/Berlin", after, 2), [gap[0], "2026-03-30T00:00Z"])
    assert.deepStrictEqual(shown("0 0 * * *", "America/Sao_Paulo", "2018-11-04T00:00:00Z", 2), [
      "2018-11-04T03:00Z",
      "2018-11-05T02:00Z"
    ])
  })

  it("in the hour that exists twice happens once, the first time", () => {
    const next = shown("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2)
    assert.deepStrictEqual(next, ["2026-11-01T05:30Z", "2026-11-02T06:30Z"])
    const half = shown("*/30 1,2 * * *", "America/New_York", "2026-11-01T05:00:00Z", 3)
    assert.deepStrictEqual(half, ["2026-11-01T05:30Z", "2026-11-01T07:00Z", "2026-11-01T07:30Z"])
  })

  it("on a day that does not exist happens as the next begins, once for both", () => {
    const days = shown("0 0 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3)
    assert.deepStrictEqual(days, ["2011-12-29T10:00Z", "2011-12-30T10:00Z", "2011-12-31T10:00Z"])
  })

  it("is found from within the repeated hour too", () => {
    assert.deepStrictEqual(shown("* * * * *", "Europe/Berlin", "2026-10-25T01:15:00Z", 1), ["2026-10-25T02:00Z"])
  })
})

// --- A second opinion: croner

const zones = [
  "UTC",
  "America/Sao_Paulo",
  "America/New_York",
  "America/St_Johns",
  "Europe/Berlin",
  "Europe/London",
  "Africa/Casablanca",
  "Asia/Kolkata",
  "Asia/Kathmandu",
  "Asia/Tehran",
  "Australia/Lord_Howe",
  "Australia/Sydney",
  "Pacific/Auckland",
  "Pacific/Chatham"
]

const number = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const within = (minimum: number, maximum: number) => Arbitrary.schema(number(minimum, maximum))

/** A field: one value, a range, a list, steps, or anything. */
const field = (minimum: number, maximum: number) =>
  Arbitrary.map(
    Arbitrary.schema(
      Schema.Tuple([number(0, 5), number(minimum, maximum), number(minimum, maximum), number(2, Math.min(12, maximum))])
    ),
    ([kind, one, other, step]) => {
      const [from, to] = [Math.min(one, other), Math.max(one, other)]
      return ["*", `${one}`, `${from}-${to}`, `${from},${to}`, `*/${step}`, `${from}-${to}/${step}`][kind] ?? "*"
    }
  )

/** Instants of twenty years, as many near a change of clocks as anywhere. */
const instants = Arbitrary.map(within(0, 20 * 365 * 1440), (minutes) => Date.UTC(2015, 0, 1) + minutes * minute)

const zone = Arbitrary.map(within(0, zones.length - 1), (index) => zones[index] ?? "UTC")

/** The day's fields as we read them: `*` before anything asks for both of them. */
const domAndDow = (days: string, weekdays: string) => days.startsWith("*") || weekdays.startsWith("*")

const formats = new Map<string, Intl.DateTimeFormat>()

/** What the clocks show, read off as text: nothing of ours is in it. */
const wallOf = (timeZone: string, at: number): number => {
  const format =
    formats.get(timeZone) ??
    new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric"
    })
  formats.set(timeZone, format)
  const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]))
  return Date.UTC(part.year ?? 0, (part.month ?? 0) - 1, part.day, part.hour, part.minute)
}

const offsetAt = (timeZone: string, at: number) => wallOf(timeZone, at) - Math.floor(at / minute) * minute

const begin = Date.UTC(2015, 0, 1)
const daysInAll = 20 * 365

const changes = new Map<string, ReadonlyArray<number>>()

/** The days of twenty years on which the clocks of a zone change. */
const changesOf = (timeZone: string): ReadonlyArray<number> => {
  const known = changes.get(timeZone)
  if (known !== undefined) return known
  const offsets = Array.from({ length: daysInAll }, (_, index) => offsetAt(timeZone, begin + index * day))
  const found = offsets.flatMap((offset, index) =>
    offset === (offsets[index + 1] ?? offset) ? [] : [begin + index * day]
  )
  changes.set(timeZone, found)
  return found
}

/** An instant within two days of a change of clocks, where they ever change. */
const nearChange = (timeZone: string, from: number): number => {
  const change = changesOf(timeZone).find((at) => at >= from) ?? changesOf(timeZone).at(-1)
  return change === undefined ? from : change - day + (from % day)
}

const some = { arbitrary: { runs: 1500 }, timeout: 60_000 }

describe("Beside croner, a schedule", () => {
  it.prop(
    "has the same occurrences in UTC, whatever its fields",
    {
      minutes: field(0, 59),
      hours: field(0, 23),
      days: field(1, 31),
      months: field(1, 12),
      weekdays: field(0, 6),
      after: instants
    },
    ({ after, days, hours, minutes, months, weekdays }) => {
      const expression = [minutes, hours, days, months, weekdays].join(" ")
      const ours = parse(expression)
      const theirs = new Cron(expression, { timezone: "UTC", domAndDow: domAndDow(days, weekdays), paused: true })
      const expected = theirs.nextRuns(10, new Date(after)).map((at) => at.getTime())
      const found = Result.isSuccess(ours) ? following(ours.success, after, 10) : []
      assert.deepStrictEqual(found, expected, `${expression} after ${new Date(after).toISOString()}`)
    },
    some
  )

  // One value each for minute and hour: with several, croner skips the hour that does not exist, and repeats the other.
  it.prop(
    "at one time of the day has the same occurrences in every zone, through all changes of its clocks",
    { minutes: within(0, 59), hours: within(0, 23), days: field(1, 31), timeZone: zone, from: instants },
    ({ days, from, hours, minutes, timeZone }) => {
      const expression = `${minutes} ${hours} ${days} * *`
      const after = nearChange(timeZone, from)
      const theirs = new Cron(expression, { timezone: timeZone, paused: true, domAndDow: true })
      const expected = theirs.nextRuns(5, new Date(after)).map((at) => at.getTime())
      const found = following(Result.getOrThrow(parse(expression, timeZone)), after, 5)
      assert.deepStrictEqual(found, expected, `${expression} in ${timeZone} after ${new Date(after).toISOString()}`)
    },
    some
  )

  it.prop(
    "happens, where clocks change, whenever they first show a time that croner says is named, or have skipped one",
    { minutes: field(0, 59), hours: field(0, 23), timeZone: zone, from: instants },
    ({ from, hours, minutes, timeZone }) => {
      const expression = `${minutes} ${hours} * * *`
      const after = nearChange(timeZone, from)
      const names = new Cron(expression, { timezone: "UTC", paused: true })
      const expected: Array<number> = []
      let shownBefore = wallOf(timeZone, after)
      for (let at = after + minute; at <= after + 3 * day; at += minute) {
        const wall = wallOf(timeZone, at)
        let isNamed = false
        for (let each = shownBefore + minute; each <= wall && !isNamed; each += minute)
          isNamed = names.match(new Date(each))
        if (isNamed) expected.push(at)
        shownBefore = Math.max(shownBefore, wall)
      }
      const schedule = Result.getOrThrow(parse(expression, timeZone))
      const found = following(schedule, after, 5000).filter((at) => at <= after + 3 * day)
      assert.deepStrictEqual(found, expected, `${expression} in ${timeZone} after ${new Date(after).toISOString()}`)
    },
    { arbitrary: { runs: 25 }, timeout: 60_000 }
  )
})
