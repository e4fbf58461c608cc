/** What the scheduler measures, by job. */
import { Effect, Metric } from "effect"
import type { Outcome } from "../domain/JobRun.ts"
import { seriesOf } from "./MetricSeries.ts"

const runs = seriesOf(["job", "outcome"], (attributes) =>
  Metric.counter("paystream_job_runs_total", {
    description: "Runs of a job that have ended or were skipped, by outcome",
    attributes,
    incremental: true
  })
)
const duration = seriesOf(["job"], (attributes) =>
  Metric.histogram("paystream_job_duration_seconds", {
    description: "How long an attempt at a run took, in seconds",
    attributes,
    boundaries: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600]
  })
)
const lateness = seriesOf(["job"], (attributes) =>
  Metric.histogram("paystream_job_lateness_seconds", {
    description: "From the instant that a run was scheduled for to its beginning, in seconds",
    attributes,
    boundaries: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600]
  })
)
const nextRun = seriesOf(["job"], (attributes) =>
  Metric.gauge("paystream_job_next_run_timestamp_seconds", {
    description:
      "The next instant that a job is scheduled for, in seconds since 1970; 0 while there is none, as of a paused job",
    attributes
  })
)
const running = seriesOf(["job"], (attributes) =>
  Metric.gauge("paystream_job_running", { description: "Runs of a job that go on in this process", attributes })
)

/** What is measured where this is asked for: thousands of runs begin at the same instant, and none waits for a figure. */
export const make = Effect.map(Effect.context<never>(), (context) => ({
  began: (job: string, lateMillis: number): void => {
    lateness(job).updateUnsafe(Math.max(0, lateMillis) / 1000, context)
    running(job).updateUnsafe(1, context)
  },
  took: (job: string, millis: number): void => duration(job).updateUnsafe(millis / 1000, context),
  stopped: (job: string): void => running(job).updateUnsafe(0, context),
  ended: (job: string, outcome: Outcome, count = 1): void => runs(job, outcome).updateUnsafe(count, context),
  next: (job: string, at: number | undefined): void => nextRun(job).updateUnsafe((at ?? 0) / 1000, context)
}))

export type JobMetrics = Effect.Success<typeof make>
