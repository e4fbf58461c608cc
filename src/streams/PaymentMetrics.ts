/** What the payment worker measures, per batch; names as Prometheus users expect them. */
import { Clock, Effect, Metric } from "effect"
import type { BatchReport } from "../domain/BatchReport.ts"
import type { Delivery } from "../domain/ports/Broker.ts"
import { updateAll } from "./MetricSeries.ts"

const counter = (outcome: string) =>
  Metric.counter("paystream_messages_total", {
    description: "Messages settled, by outcome",
    attributes: { outcome },
    incremental: true
  })
const stored = counter("stored")
const duplicates = counter("duplicate")
const deadLettered = counter("dead_lettered")
const returned = counter("returned")

const batchSize = Metric.histogram("paystream_batch_size", {
  description: "Messages per batch",
  boundaries: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000]
})

const secondsBoundaries = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

const storeSeconds = Metric.histogram("paystream_store_seconds", {
  description: "From a batch taken to its rows committed, in seconds",
  boundaries: secondsBoundaries
})
const endToEndSeconds = Metric.histogram("paystream_end_to_end_seconds", {
  description: "From the publisher's timestamp to the acknowledgement, in seconds; brokers keep whole seconds",
  boundaries: secondsBoundaries
})

export const inFlight = Metric.gauge("paystream_in_flight", { description: "Messages taken and not yet settled" })
export const queueDepth = Metric.gauge("paystream_queue_depth", { description: "Messages waiting in the queue" })

/** Counts a batch that was settled. */
export const settled = Effect.fnUntraced(function* (batch: ReadonlyArray<Delivery>, report: BatchReport) {
  const now = yield* Clock.currentTimeMillis
  yield* updateAll(
    [stored, report.stored],
    [duplicates, report.duplicates],
    [deadLettered, report.deadLettered],
    [returned, report.returned],
    [batchSize, batch.length]
  )
  yield* Metric.modify(inFlight, -batch.length)
  const context = yield* Effect.context<never>()
  for (const { publishedAtMillis } of batch) {
    // One per message: as an Effect each it would cost more than all else here.
    if (publishedAtMillis !== undefined) {
      endToEndSeconds.updateUnsafe(Math.max(0, now - publishedAtMillis) / 1000, context)
    }
  }
})

/** Times the storing of a batch. */
export const timed = <A, E, R>(store: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const start = yield* Clock.currentTimeMillis
    const result = yield* store
    yield* Metric.update(storeSeconds, ((yield* Clock.currentTimeMillis) - start) / 1000)
    return result
  })
