/**
 * The job that reports on the week before.
 *
 * ## Guarantees
 * - A week is reported on, and its report published, once: report and event are one transaction, and whoever asks for
 *   the report of that week again gets the one that was kept.
 */
import { Clock, Effect } from "effect"
import { exchangeHeader } from "../domain/OutboxEvent.ts"
import { Outbox } from "../domain/ports/Outbox.ts"
import { WeeklyReports } from "../domain/ports/WeeklyReports.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import { markdownOf, reportOf, type Week, type WeeklyReport, weekBefore } from "../domain/WeeklyReport.ts"
import * as Job from "./Job.ts"

const exchange = "financial.events"
const topic = "financial.reports.weekly"

const keepAndPublish = Effect.fnUntraced(function* (week: Week, report: WeeklyReport) {
  const [outbox, reports] = [yield* Outbox, yield* WeeklyReports]
  const isNew = yield* reports.keep(week, report)
  if (isNew) yield* outbox.append({ topic, key: topic, payload: report, headers: { [exchangeHeader]: exchange } })
  return isNew
})

const generate = Effect.gen(function* () {
  const run = yield* Job.CurrentRun
  const week = weekBefore(run?.scheduledFor ?? (yield* Clock.currentTimeMillis))
  const [outbox, reports] = [yield* Outbox, yield* WeeklyReports]
  const before = yield* reports.find(week)
  if (before !== undefined) return before
  const report = reportOf(week, yield* reports.figures(week))
  if (yield* outbox.transaction(keepAndPublish(week, report))) return report
  return (yield* reports.find(week)) ?? report
})

/** Every Monday, of the week that ended with Sunday, in UTC. */
export const reportGenerator = Job.make(
  "report_generator",
  {
    schedule: "0 8 * * 1",
    timeout: "1 hour",
    retry: RetryPolicy.exponential({ maxRetries: 3 }),
    print: markdownOf
  },
  generate
)
