/** Weeks of reports, and how a report reads. */
import { assert, describe, it } from "@effect/vitest"
import { markdownOf, reportOf, weekBefore } from "../../src/domain/WeeklyReport.ts"
import { figures } from "../support/WeeklyFigures.ts"

const shown = (instant: string) => {
  const { end, start } = weekBefore(Date.parse(instant))
  return [start, end].map((at) => new Date(at).toISOString().slice(0, 16)).join(" ")
}

describe("The week before", () => {
  it("is the same from Monday to Monday in UTC, across years", () => {
    const expected = "2025-12-22T00:00 2025-12-29T00:00"
    for (const instant of [
      "2025-12-29T00:00:00Z",
      "2025-12-29T08:00:00Z",
      "2026-01-01T00:00Z",
      "2026-01-04T23:59:59.999Z"
    ])
      assert.strictEqual(shown(instant), expected)
    assert.strictEqual(shown("2026-01-05T00:00:00Z"), "2025-12-29T00:00 2026-01-05T00:00")
    assert.strictEqual(shown("1970-01-01T00:00:00Z"), "1969-12-22T00:00 1969-12-29T00:00")
  })
})

describe("A report", () => {
  const report = reportOf(weekBefore(Date.parse("2026-03-09T08:00:00Z")), figures)

  it("is named after its week", () => {
    assert.deepInclude(report, { id: "weekly_report/2026-03-02", from: "2026-03-02T00:00:00.000Z" })
  })

  it("reads as Markdown whose tables no name breaks", () => {
    const lines = markdownOf(report).split("\n")
    assert.strictEqual(lines[0], "# Payments from 2026-03-02 to 2026-03-09 (UTC)")
    for (const line of ["| a\\|b c | 3 |", "| others | 1 |", "| BRL | 2 | 9007199254740993.01 |", "none"])
      assert.include(lines, line)
  })
})
