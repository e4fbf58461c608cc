/** Weekly reports in memory, of figures that are given, for tests of what is built on the port. */
import { Effect, HashMap, Layer, Option } from "effect"
import { WeeklyReports } from "../../domain/ports/WeeklyReports.ts"
import type { WeeklyFigures, WeeklyReport } from "../../domain/WeeklyReport.ts"
import * as MemoryTransactions from "./MemoryTransactions.ts"

const make = (figures: WeeklyFigures): WeeklyReports["Service"] => {
  const reports = MemoryTransactions.makeTable<WeeklyReport>()
  return {
    figures: () => Effect.succeed(figures),
    find: ({ start }) => reports.read((rows) => Option.getOrUndefined(HashMap.get(rows, String(start)))),
    keep: ({ start }, report) =>
      reports.write((rows) =>
        HashMap.has(rows, String(start)) ? [false, rows] : [true, HashMap.set(rows, String(start), report)]
      )
  }
}

/** Every week has these figures. */
export const layer = (figures: WeeklyFigures): Layer.Layer<WeeklyReports> =>
  Layer.sync(WeeklyReports, () => make(figures))
