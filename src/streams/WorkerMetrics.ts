/** What topic workers measure, by worker and topic: updated by the array, but for times, of which each message has its own. */
import { Effect, Metric } from "effect"
import type { Delivery } from "../domain/ports/Broker.ts"
import type { WorkerDeadLetterReason } from "../domain/WorkerDeadLetter.ts"
import type { Ending, Handled } from "./InHand.ts"
import type { Any, Handlers } from "./Worker.ts"

const counter = (name: string, description: string) =>
  Metric.counter(`paystream_worker_${name}`, { description, incremental: true })

const messages = counter("messages_total", "Messages that a topic worker has settled, by ending")
const deadLetters = counter("dead_letters_total", "Messages that a topic worker has set aside and settled, by reason")
const hookFailures = counter("hook_failures_total", "Hooks of a topic worker that failed or took too long")

const secondsBoundaries = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800]

const handlingSeconds = Metric.histogram("paystream_worker_handling_seconds", {
  description: "From the call of a topic worker's handler to what it gave, in seconds",
  boundaries: secondsBoundaries
})
const endToEndSeconds = Metric.histogram("paystream_worker_end_to_end_seconds", {
  description: "From the publisher's timestamp to the end of a message, its retries included, in seconds",
  boundaries: secondsBoundaries
})

const inFlight = Metric.gauge("paystream_worker_in_flight", {
  description: "Messages that a topic worker has taken and not yet settled"
})
const backlog = Metric.gauge("paystream_worker_backlog", {
  description: "Messages that wait for the group of a topic worker at the broker; on Kafka its lag"
})

/** What is measured of one worker. */
export interface WorkerMetrics {
  readonly backlog: Metric.Gauge<number>
  /** Nothing is in flight: a new run begins. */
  readonly begin: () => void
  readonly taken: (count: number) => void
  readonly handled: (millis: number) => void
  readonly hookFailed: (hook: Exclude<keyof Handlers<never, never, never, never>, "process">) => void
  readonly settled: (all: ReadonlyArray<Handled>, nowMillis: number) => void
}

/** Those of one worker; made once, since to find a series by its labels costs more than to update it. */
export const make = Effect.fnUntraced(function* ({ name, topic }: Any): Effect.fn.Return<WorkerMetrics> {
  const context = yield* Effect.context<never>()
  const labels = { worker: name, topic }
  const byEnding = series<Ending>(messages, "ending", labels)
  const byReason = series<WorkerDeadLetterReason>(deadLetters, "reason", labels)
  const byHook = series(hookFailures, "hook", labels)
  const own = {
    handling: Metric.withAttributes(handlingSeconds, labels),
    endToEnd: Metric.withAttributes(endToEndSeconds, labels),
    inFlight: Metric.withAttributes(inFlight, labels)
  }
  const timeSince = (delivery: Delivery, nowMillis: number): void => {
    const { publishedAtMillis } = delivery
    if (publishedAtMillis === undefined) return
    own.endToEnd.updateUnsafe(Math.max(0, nowMillis - publishedAtMillis) / 1000, context)
  }
  return {
    backlog: Metric.withAttributes(backlog, labels),
    begin: () => own.inFlight.updateUnsafe(0, context),
    taken: (count) => own.inFlight.modifyUnsafe(count, context),
    handled: (millis) => own.handling.updateUnsafe(Math.max(0, millis) / 1000, context),
    hookFailed: (hook) => byHook(hook).updateUnsafe(1, context),
    settled: (all, nowMillis) => {
      own.inFlight.modifyUnsafe(-all.length, context)
      for (const [ending, group] of Map.groupBy(all, (one) => one.ending)) {
        byEnding(ending).updateUnsafe(group.length, context)
        if (ending === "done" || ending === "dead_lettered")
          for (const { inHand } of group) timeSince(inHand.delivery, nowMillis)
      }
      for (const { reason } of all) if (reason !== undefined) byReason(reason).updateUnsafe(1, context)
    }
  }
})

/** The series of a counter by the values of one more label. */
const series = <Value extends string>(
  metric: Metric.Counter<number>,
  label: string,
  labels: Readonly<Record<string, string>>
) => {
  const found = new Map<Value, Metric.Counter<number>>()
  return (value: Value): Metric.Counter<number> => {
    const one = found.get(value) ?? Metric.withAttributes(metric, { ...labels, [label]: value })
    found.set(value, one)
    return one
  }
}
