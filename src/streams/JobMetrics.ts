/** What the scheduler measures, by job. */
import { Effect, Metric } from "effect"
import type { Outcome } from "../domain/JobRun.ts"

const runs = Metric.counter("paystream_job_runs_total", {
  description: "Runs of a job that have ended or were skipped, by outcome",
  incremental: true
})
const duration = Metric.histogram("paystream_job_duration_seconds", {
  description: "How long an attempt at a run took, in seconds",
  boundaries: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600]
})
const lateness = Metric.histogram("paystream_job_lateness_seconds", {
  description: "From the instant that a run was scheduled for to its beginning, in seconds",
  boundaries: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600]
})
const nextRun = Metric.gauge("paystream_job_next_run_timestamp_seconds", {
  description:
    "The next instant that a job is scheduled for, in seconds since 1970; 0 while there is none, as of a paused job"
})
const running = Metric.gauge("paystream_job_running", { description: "Runs of a job that go on in this process" })

const make = (job: string) => {
  const counters = new Map<Outcome, Metric.Counter<number>>()
  const counterOf = (outcome: Outcome) => {
    const counter = counters.get(outcome) ?? Metric.withAttributes(runs, { job, outcome })
    counters.set(outcome, counter)
    return counter
  }
  const of = { job }
  const [took, late] = [Metric.withAttributes(duration, of), Metric.withAttributes(lateness, of)]
  const [next, now] = [Metric.withAttributes(nextRun, of), Metric.withAttributes(running, of)]
  return {
    ended: (outcome: Outcome, count = 1) => Metric.update(counterOf(outcome), count),
    took: (millis: number) => Metric.update(took, millis / 1000),
    began: (lateMillis: number) =>
      Effect.andThen(Metric.update(late, Math.max(0, lateMillis) / 1000), Metric.update(now, 1)),
    stopped: Metric.update(now, 0),
    next: (at: number | undefined) => Metric.update(next, (at ?? 0) / 1000)
  }
}

const made = new Map<string, ReturnType<typeof make>>()

/** What is measured of a job. */
export const of = (job: string) => {
  const metrics = made.get(job) ?? make(job)
  made.set(job, metrics)
  return metrics
}
