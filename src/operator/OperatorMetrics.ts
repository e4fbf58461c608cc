/** What the operator measures, under the names that dashboards for controller-runtime know; and of PaymentJobs. */
import { Effect, Metric } from "effect"
import { hasEnded, type PaymentJob, phases } from "./PaymentJob.ts"

const controller = { controller: "paymentjob" }
const queue = { name: "paymentjob", controller: "paymentjob" }

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

const gauge = (name: string, description: string) => Metric.gauge(name, { description })
const counter = (name: string, description: string) => Metric.counter(name, { description, incremental: true })
const histogram = (name: string, description: string) => Metric.histogram(name, { description, boundaries: seconds })

const depth = Metric.withAttributes(gauge("workqueue_depth", "PaymentJobs that wait to be looked at"), queue)
const adds = Metric.withAttributes(counter("workqueue_adds_total", "Times that one began to wait"), queue)
const retries = Metric.withAttributes(counter("workqueue_retries_total", "Times that one is tried again"), queue)
const waited = Metric.withAttributes(
  histogram("workqueue_queue_duration_seconds", "How long one waited, in seconds"),
  queue
)
const worked = Metric.withAttributes(
  histogram("workqueue_work_duration_seconds", "How long one was looked at, in seconds"),
  queue
)

/** How a look at a PaymentJob ended. */
export type ReconcileResult = "success" | "error" | "requeue" | "requeue_after"

const reconciles = counter("controller_runtime_reconcile_total", "Looks at a PaymentJob, by how they ended")
const reconcilesBy = new Map(
  (["success", "error", "requeue", "requeue_after"] as const).map((result) => [
    result,
    Metric.withAttributes(reconciles, { ...controller, result })
  ])
)
const errors = Metric.withAttributes(
  counter("controller_runtime_reconcile_errors_total", "Looks at a PaymentJob that failed"),
  controller
)
const took = Metric.withAttributes(
  histogram("controller_runtime_reconcile_time_seconds", "How long a look at a PaymentJob took, in seconds"),
  controller
)
const workers = Metric.withAttributes(
  gauge("controller_runtime_max_concurrent_reconciles", "PaymentJobs that may be looked at side by side"),
  controller
)
const activeWorkers = Metric.withAttributes(
  gauge("controller_runtime_active_workers", "PaymentJobs that are looked at just now"),
  controller
)
const unfinishedWork = Metric.withAttributes(
  gauge(
    "workqueue_unfinished_work_seconds",
    "How long those that are looked at just now have been looked at, in seconds, all together"
  ),
  queue
)
const longestRunning = Metric.withAttributes(
  gauge(
    "workqueue_longest_running_processor_seconds",
    "How long the one that has been looked at for longest has been, in seconds"
  ),
  queue
)
const leader = gauge("leader_election_master_status", "1 while this process acts, 0 while it stands by")

const inPhase = gauge("paymentjob_phase", "PaymentJobs there are, by phase")
const stalled = gauge("paymentjob_stalled", "PaymentJobs that somebody has to do something about")
const started = counter("paymentjob_jobs_created_total", "Jobs created for PaymentJobs")
const ended = counter("paymentjob_ended_total", "PaymentJobs that came to their end, by phase")
const toJob = histogram(
  "paymentjob_creation_to_job_seconds",
  "From the creation of a PaymentJob, which is known to the second, to that of its Job"
)

/** One more waits. */
export const added = (size: number): Effect.Effect<void> =>
  Effect.andThen(Metric.update(adds, 1), Metric.update(depth, size))

/** One was taken. */
export const taken = (size: number, waitedMillis: number): Effect.Effect<void> =>
  Effect.andThen(Metric.update(depth, size), Metric.update(waited, waitedMillis / 1000))

export const retried: Effect.Effect<void> = Metric.update(retries, 1)

/** One was looked at. */
export const reconciled = (result: ReconcileResult, millis: number): Effect.Effect<void> =>
  Effect.gen(function* () {
    const counted = reconcilesBy.get(result)
    if (counted !== undefined) yield* Metric.update(counted, 1)
    if (result === "error") yield* Metric.update(errors, 1)
    yield* Metric.update(took, millis / 1000)
    yield* Metric.update(worked, millis / 1000)
  })

/** So many may be looked at side by side; what has not happened yet is 0, and not unknown. */
export const workersAre = (count: number): Effect.Effect<void> =>
  Effect.all(
    [
      Metric.update(workers, count),
      Metric.update(activeWorkers, 0),
      Metric.update(errors, 0),
      Metric.update(retries, 0)
    ],
    { discard: true }
  )

/** How many are being looked at, and since when each, in milliseconds. */
export const unfinished = (nowMillis: number, since: Iterable<number>): Effect.Effect<void> => {
  const seconds = [...since].map((millis) => (nowMillis - millis) / 1000)
  const sum = seconds.reduce((one, other) => one + other, 0)
  return Effect.all(
    [
      Metric.update(activeWorkers, seconds.length),
      Metric.update(unfinishedWork, sum),
      Metric.update(longestRunning, Math.max(0, ...seconds))
    ],
    { discard: true }
  )
}

export const leading = (identity: string, isLeading: boolean): Effect.Effect<void> =>
  Metric.update(Metric.withAttributes(leader, { name: identity }), isLeading ? 1 : 0)

/** A Job was created, so long after its PaymentJob. */
export const created = (sinceMillis: number): Effect.Effect<void> =>
  Effect.andThen(Metric.update(started, 1), Metric.update(toJob, Math.max(0, sinceMillis) / 1000))

/** One came to its end. */
export const endedAs = (phase: string): Effect.Effect<void> => Metric.update(Metric.withAttributes(ended, { phase }), 1)

/** How all of them stand, with so many that cannot be read. */
export const standing = (all: Iterable<PaymentJob>, unreadable: number): Effect.Effect<void> =>
  Effect.gen(function* () {
    const counts = new Map<string, number>(phases.map((phase) => [phase, 0]))
    let stuck = unreadable
    for (const { status } of all) {
      const phase = status.phase ?? "Pending"
      counts.set(phase, (counts.get(phase) ?? 0) + 1)
      if (!hasEnded(status) && isStalled(status)) stuck += 1
    }
    for (const [phase, count] of counts) yield* Metric.update(Metric.withAttributes(inPhase, { phase }), count)
    yield* Metric.update(stalled, stuck)
  })

const isStalled = ({ conditions }: PaymentJob["status"]): boolean =>
  (conditions ?? []).some(({ status, type }) => type === "Stalled" && status === "True")
