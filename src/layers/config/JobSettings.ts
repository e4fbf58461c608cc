/** Jobs on a schedule: which, how many at the same time, and how long what they did is remembered. */
import { Duration } from "effect"
import * as Parser from "./Parser.ts"
import { all, type Group, optional, setting } from "./Setting.ts"

export interface JobSettings {
  readonly defaultTimeout: Duration.Duration
  readonly maxConcurrent: number
  readonly lease: Duration.Duration
  /** `undefined` is for ever. */
  readonly retention: Duration.Duration | undefined
}

const day = 86_400

export const jobModule: Group<string | undefined> = optional(Parser.text, {
  name: "JOBS",
  default: "",
  reason:
    "A module whose exports are the jobs to run on a schedule; `--jobs` says it too, and wins. Our own without it."
})

export const jobSettings: Group<JobSettings> = all({
  defaultTimeout: setting(Parser.seconds({ minimum: 0.1, maximum: 7 * day }), {
    name: "WORKER_DEFAULT_TIMEOUT_SECONDS",
    default: "300",
    reason: "An attempt at a job that says no time-out of its own is interrupted after this."
  }),
  maxConcurrent: setting(Parser.integer({ minimum: 1, maximum: 100_000, unit: "jobs" }), {
    name: "WORKER_MAX_CONCURRENT_JOBS",
    default: "10",
    reason:
      "Runs at the same time in one process. At the limit, an occurrence waits a second for a free place, here or in another process; then it is skipped, with a warning, and kept in the history as skipped."
  }),
  lease: setting(Parser.seconds({ minimum: 1, maximum: 3600 }), {
    name: "JOB_LEASE_SECONDS",
    default: "15",
    reason: "A run is taken over by another process when nothing was heard of the one that had it for so long."
  }),
  retention: setting(Parser.orWord("forever", Parser.duration(Duration.days(36_525))), {
    name: "JOB_HISTORY_RETENTION",
    default: "90 days",
    reason: "How long runs of jobs are kept in `job_runs`."
  })
})
