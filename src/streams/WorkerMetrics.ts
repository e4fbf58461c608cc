/** What topic workers measure. */
import { Effect, Metric } from "effect"

const messages = Metric.counter("paystream_worker_messages_total", {
  description: "Messages that a topic worker has ended, by worker and ending",
  incremental: true
})

/** Counts the endings of a worker, many at a time. */
export const counting = <Ending extends string>(worker: string) => {
  const counters = new Map<Ending, Metric.Counter<number>>()
  const counterOf = (ending: Ending) => {
    const counter = counters.get(ending) ?? Metric.withAttributes(messages, { worker, ending })
    counters.set(ending, counter)
    return counter
  }
  return (endings: ReadonlyArray<Ending>): Effect.Effect<void> =>
    Effect.forEach(
      Map.groupBy(endings, (ending) => ending),
      ([ending, { length }]) => Metric.update(counterOf(ending), length),
      { discard: true }
    )
}
