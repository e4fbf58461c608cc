/** What topic workers measure. */
import { Metric } from "effect"

const messages = Metric.counter("paystream_worker_messages_total", {
  description: "Messages that a topic worker has ended, by worker and ending",
  incremental: true
})

/** Counts one ending of a worker. */
export const counted = (worker: string, ending: string) =>
  Metric.update(Metric.withAttributes(messages, { worker, ending }), 1)
