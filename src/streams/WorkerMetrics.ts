/** What topic workers measure, by worker and topic: updated by the array, but for times, of which each message has its own. */
import { Effect, Metric } from "effect"
import type { Delivery } from "../domain/ports/Broker.ts"
import type { Handled } from "./InHand.ts"
import { seriesOf } from "./MetricSeries.ts"
import type { Any, Handlers } from "./Worker.ts"

const secondsBoundaries = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800]

type Attributes = Readonly<Record<string, string>>

const named = (name: string) => `paystream_worker_${name}`
const counter = (name: string, description: string) => (attributes: Attributes) =>
  Metric.counter(named(name), { description, attributes, incremental: true })
const gauge = (name: string, description: string) => (attributes: Attributes) =>
  Metric.gauge(named(name), { description, attributes })
const histogram = (name: string, description: string) => (attributes: Attributes) =>
  Metric.histogram(named(name), { description, attributes, boundaries: secondsBoundaries })

const labels = ["worker", "topic"] as const

const messages = seriesOf(
  [...labels, "ending"],
  counter("messages_total", "Messages that a topic worker has settled, by ending")
)
const deadLetters = seriesOf(
  [...labels, "reason"],
  counter("dead_letters_total", "Messages that a topic worker has set aside and settled, by reason")
)
const hookFailures = seriesOf(
  [...labels, "hook"],
  counter("hook_failures_total", "Hooks of a topic worker that failed or took too long")
)
const handlingSeconds = seriesOf(
  labels,
  histogram("handling_seconds", "From the call of a topic worker's handler to what it gave, in seconds")
)
const endToEndSeconds = seriesOf(
  labels,
  histogram(
    "end_to_end_seconds",
    "From the publisher's timestamp to the end of a message, its retries included, in seconds"
  )
)
const inFlight = seriesOf(labels, gauge("in_flight", "Messages that a topic worker has taken and not yet settled"))
const backlog = seriesOf(
  labels,
  gauge("backlog", "Messages that wait for the group of a topic worker at the broker; on Kafka its lag")
)

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

/** Those of one worker. */
export const make = Effect.fnUntraced(function* ({ name, topic }: Any): Effect.fn.Return<WorkerMetrics> {
  const context = yield* Effect.context<never>()
  const [handling, endToEnd] = [handlingSeconds(name, topic), endToEndSeconds(name, topic)]
  const held = inFlight(name, topic)
  const ended = ({ publishedAtMillis }: Delivery, nowMillis: number): void => {
    if (publishedAtMillis === undefined) return
    endToEnd.updateUnsafe(Math.max(0, nowMillis - publishedAtMillis) / 1000, context)
  }
  return {
    backlog: backlog(name, topic),
    begin: () => held.updateUnsafe(0, context),
    taken: (count) => held.modifyUnsafe(count, context),
    handled: (millis) => handling.updateUnsafe(Math.max(0, millis) / 1000, context),
    hookFailed: (hook) => hookFailures(name, topic, hook).updateUnsafe(1, context),
    settled: (all, nowMillis) => {
      held.modifyUnsafe(-all.length, context)
      for (const [ending, group] of Map.groupBy(all, (one) => one.ending)) {
        messages(name, topic, ending).updateUnsafe(group.length, context)
        if (ending === "done" || ending === "dead_lettered")
          for (const { inHand } of group) ended(inHand.delivery, nowMillis)
      }
      for (const { reason } of all) if (reason !== undefined) deadLetters(name, topic, reason).updateUnsafe(1, context)
    }
  }
})
