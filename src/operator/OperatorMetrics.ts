/** What the operator measures, under the names that dashboards for controller-runtime know; and of PaymentJobs. */
import { Effect, Metric } from "effect"
import { seriesOf, updateAll } from "../streams/MetricSeries.ts"
import { hasEnded, type PaymentJob, phases } from "./PaymentJob.ts"

const controller = { controller: "paymentjob" }
const queue = { name: "paymentjob", controller: "paymentjob" }

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

type Attributes = Readonly<Record<string, string>>

const gauge = (name: string, description: string, attributes: Attributes = {}) =>
  Metric.gauge(name, { description, attributes })
const counter = (name: string, description: string, attributes: Attributes = {}) =>
  Metric.counter(name, { description, attributes, incremental: true })
const histogram = (name: string, description: string, attributes: Attributes = {}) =>
  Metric.histogram(name, { description, attributes, boundaries: seconds })

const depth = gauge("workqueue_depth", "PaymentJobs that wait to be looked at", queue)
const adds = counter("workqueue_adds_total", "Times that one began to wait", queue)
const retries = counter("workqueue_retries_total", "Times that one is tried again", queue)
const waited = histogram("workqueue_queue_duration_seconds", "How long one waited, in seconds", queue)
const worked = histogram("workqueue_work_duration_seconds", "How long one was looked at, in seconds", queue)

/** How a look at a PaymentJob ended. */
export type ReconcileResult = "success" | "error" | "requeue" | "requeue_after"

const reconciles = seriesOf(["result"], (result) =>
  counter("controller_runtime_reconcile_total", "Looks at a PaymentJob, by how they ended", {
    ...controller,
    ...result
  })
)
const errors = counter("controller_runtime_reconcile_errors_total", "Looks at a PaymentJob that failed", controller)
const took = histogram(
  "controller_runtime_reconcile_time_seconds",
  "How long a look at a PaymentJob took, in seconds",
  controller
)
const workers = gauge(
  "controller_runtime_max_concurrent_reconciles",
  "PaymentJobs that may be looked at side by side",
  controller
)
const activeWorkers = gauge("controller_runtime_active_workers", "PaymentJobs that are looked at just now", controller)
const unfinishedWork = gauge(
  "workqueue_unfinished_work_seconds",
  "How long those that are looked at just now have been looked at, in seconds, all together",
  queue
)
const longestRunning = gauge(
  "workqueue_longest_running_processor_seconds",
  "How long the one that has been looked at for longest has been, in seconds",
  queue
)
const leader = seriesOf(["name"], (name) =>
  gauge("leader_election_master_status", "1 while this process acts, 0 while it stands by", name)
)

const inPhase = seriesOf(["phase"], (phase) => gauge("paymentjob_phase", "PaymentJobs there are, by phase", phase))
const stalled = gauge("paymentjob_stalled", "PaymentJobs that somebody has to do something about")
const started = counter("paymentjob_jobs_created_total", "Jobs created for PaymentJobs")
const ended = seriesOf(["phase"], (phase) =>
  counter("paymentjob_ended_total", "PaymentJobs that came to their end, by phase", phase)
)
const toJob = histogram(
  "paymentjob_creation_to_job_seconds",
  "From the creation of a PaymentJob, which is known to the second, to that of its Job"
)

/** One more waits. */
export const added = (size: number): Effect.Effect<void> => updateAll([adds, 1], [depth, size])

/** One was taken. */
export const taken = (size: number, waitedMillis: number): Effect.Effect<void> =>
  updateAll([depth, size], [waited, waitedMillis / 1000])

export const retried: Effect.Effect<void> = updateAll([retries, 1])

/** One was looked at. */
export const reconciled = (result: ReconcileResult, millis: number): Effect.Effect<void> =>
  updateAll(
    [reconciles(result), 1],
    [errors, result === "error" ? 1 : 0],
    [took, millis / 1000],
    [worked, millis / 1000]
  )

/** So many may be looked at side by side; what has not happened yet is 0, and not unknown. */
export const workersAre = (count: number): Effect.Effect<void> =>
  updateAll([workers, count], [activeWorkers, 0], [errors, 0], [retries, 0])

/** How many are being looked at, and since when each, in milliseconds. */
export const unfinished = (nowMillis: number, since: Iterable<number>): Effect.Effect<void> => {
  const seconds = [...since].map((millis) => (nowMillis - millis) / 1000)
  const sum = seconds.reduce((one, other) => one + other, 0)
  return updateAll([activeWorkers, seconds.length], [unfinishedWork, sum], [longestRunning, Math.max(0, ...seconds)])
}

export const leading = (identity: string, isLeading: boolean): Effect.Effect<void> =>
  updateAll([leader(identity), isLeading ? 1 : 0])

/** A Job was created, so long after its PaymentJob. */
export const created = (sinceMillis: number): Effect.Effect<void> =>
  updateAll([started, 1], [toJob, Math.max(0, sinceMillis) / 1000])

/** One came to its end. */
export const endedAs = (phase: string): Effect.Effect<void> => updateAll([ended(phase), 1])

/** How all of them stand, with so many that cannot be read. */
export const standing = (all: Iterable<PaymentJob>, unreadable: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const counts = new Map<string, number>(phases.map((phase) => [phase, 0]))
    let stuck = unreadable
    for (const { status } of all) {
      const phase = status.phase ?? "Pending"
      counts.set(phase, (counts.get(phase) ?? 0) + 1)
      if (!hasEnded(status) && isStalled(status)) stuck += 1
    }
    return updateAll(...[...counts].map(([phase, count]) => [inPhase(phase), count] as const), [stalled, stuck])
  })

const isStalled = ({ conditions }: PaymentJob["status"]): boolean =>
  (conditions ?? []).some(({ status, type }) => type === "Stalled" && status === "True")
