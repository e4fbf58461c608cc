/** What is said, and counted, of occurrences that are skipped. */
import { Effect } from "effect"
import * as JobMetrics from "./JobMetrics.ts"

export interface Skipped {
  readonly job: string
  readonly count: number
  readonly reason: string
}

/** A few by name. */
const named = (jobs: ReadonlyArray<string>): string => {
  const some = jobs.slice(0, 5).join(", ")
  return jobs.length <= 5 ? some : `${some} and ${jobs.length - 5} more`
}

const whyOf = (reason: string, jobs: string, maxConcurrent: number): string => {
  switch (reason) {
    case "limit":
      return `skipped, since ${maxConcurrent} jobs are running (WORKER_MAX_CONCURRENT_JOBS): ${jobs}`
    case "missed":
      return `not caught up with, and kept as skipped: occurrences of ${jobs}`
    case "overlap":
      return `skipped, since an earlier run goes on or waits: ${jobs}`
    case "withdrawn":
      return `skipped, since they were paused, changed or removed a moment before: ${jobs}`
    default:
      return `skipped: ${jobs}`
  }
}

/** Counts them, and says why in one line for each reason. */
export const tell = Effect.fnUntraced(function* (skipped: ReadonlyArray<Skipped>, maxConcurrent: number) {
  if (skipped.length === 0) return
  const metrics = yield* JobMetrics.make
  for (const { count, job } of skipped) metrics.ended(job, "skipped", count)
  for (const [reason, all] of Map.groupBy(skipped, (one) => one.reason))
    yield* Effect.logWarning(whyOf(reason, named(all.map(({ job }) => job)), maxConcurrent))
})
