/** What the outbox relay measures; per batch where it can be. */
import { Effect, Metric } from "effect"
import type { Glance } from "../domain/ports/Outbox.ts"
import { updateAll } from "./MetricSeries.ts"

const counter = (name: string, description: string) => Metric.counter(name, { description, incremental: true })

const published = counter("paystream_outbox_published_total", "Events published and confirmed")
const failed = counter("paystream_outbox_failed_attempts_total", "Attempts at an event that the broker did not take")
const died = counter("paystream_outbox_dead_total", "Events that used up their attempts")
const removed = counter("paystream_outbox_removed_total", "Published events removed after their retention")

const dead = Metric.gauge("paystream_outbox_dead", { description: "Events that are dead now and not skipped" })
const oldestPending = Metric.gauge("paystream_outbox_oldest_pending_seconds", {
  description: "Age of the oldest event that is neither published nor dead"
})
const openTransaction = Metric.gauge("paystream_outbox_open_transaction_seconds", {
  description: "Age of the oldest transaction that may have appended events and is open"
})
const slots = Metric.gauge("paystream_outbox_slots", { description: "Slots, of 64, that this relay owns" })

const commitToConfirm = Metric.histogram("paystream_outbox_commit_to_confirm_seconds", {
  description: "From an event's insert to the broker's confirm, in seconds; a transaction's own length is in it",
  boundaries: [0.001, 0.002, 0.003, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
})

/** Counts a batch that is marked. */
export const batch = (counts: { readonly published: number; readonly failed: number; readonly dead: number }) =>
  updateAll([published, counts.published], [failed, counts.failed], [died, counts.dead])

/** Times events that were confirmed, each with its age. */
export const confirmed = (agesMillis: ReadonlyArray<number>) =>
  Effect.map(Effect.context<never>(), (context) => {
    // One per event: as an Effect each it would cost more than publishing.
    for (const age of agesMillis) commitToConfirm.updateUnsafe(Math.max(0, age) / 1000, context)
  })

export const removedCount = (count: number) => Metric.update(removed, count)

/** Shows how it stands. */
export const glance = (found: Glance, ownedSlots: number, oldestOpenMillis: number) =>
  updateAll(
    [dead, found.dead],
    [oldestPending, found.oldestPendingMillis / 1000],
    [openTransaction, oldestOpenMillis / 1000],
    [slots, ownedSlots]
  )
