/**
 * A topic worker at work: deliveries → not finished yet → decoded → handled → output published → settled.
 *
 * ## Guarantees
 * - At least once: an input is acknowledged only after its output, its retry or its dead letter is confirmed.
 * - Messages of one key are handled one after the other, those of different keys side by side up to the concurrency.
 * - A failure, a defect included, concerns its own message alone; one that kills the process is found and set aside.
 * - With `dedupe`, an input id that the group has finished is skipped.
 *
 * ## Assumptions
 * - A message that waits for its retry may be overtaken by later ones of its key, unless the worker is `ordered`.
 */
import { Clock, Context, Duration, Effect, Stream } from "effect"
import { Broker, type Delivery, type Settlement } from "../domain/ports/Broker.ts"
import { groupOf } from "../domain/Subscriptions.ts"
import { identityOf } from "../domain/WorkerIds.ts"
import { deduplicating } from "./Deduplication.ts"
import { type Handling, handle } from "./Handling.ts"
import type { Handled } from "./InHand.ts"
import { ofBroker } from "./MessageSource.ts"
import * as OrderedLanes from "./OrderedLanes.ts"
import { Shutdown, untilShutdown } from "./Shutdown.ts"
import { mapSideBySide } from "./SideBySide.ts"
import { supervised } from "./Supervisor.ts"
import { Suspects } from "./Suspects.ts"
import { TracingEnabled } from "./Tracing.ts"
import { watchGauge } from "./WatchedGauge.ts"
import type { Worker } from "./Worker.ts"
import { check, prefetchPerHandler } from "./WorkerChecks.ts"
import * as WorkerHandlers from "./WorkerHandlers.ts"
import { codecOf, keyOf } from "./WorkerMessages.ts"
import * as WorkerMetrics from "./WorkerMetrics.ts"
import { publishOutputs } from "./WorkerOutputs.ts"

/** Topics of dead letters whose names do not show it: those that the workers of this process, or its module, name. */
export const DeadLetterTopics = Context.Reference<ReadonlySet<string>>(
  "paystream/streams/TopicWorker/DeadLetterTopics",
  {
    defaultValue: () => new Set()
  }
)

/** What holds for a worker as long as its process lives. */
type Prepared<In, Out, R> = Pick<Handling<In, Out, R>, "worker" | "codec" | "handlers" | "dedupe" | "group" | "metrics">

/** The ending of each delivery, as they are settled; ends when asked to shut down. */
export const topicWorker = <In, Out, R>(worker: Worker<In, Out, R>) =>
  Stream.unwrap(
    Effect.gen(function* () {
      yield* check([worker])
      // Outside of what is restarted: a broker that was away costs nobody's shared state.
      const handlers = yield* WorkerHandlers.make(worker)
      // Asked to stop meanwhile: there is nothing in hand.
      if (handlers === undefined) return Stream.empty
      const dedupe = worker.dedupe ? yield* deduplicating(worker) : undefined
      const group = groupOf(worker, yield* DeadLetterTopics)
      const metrics = yield* WorkerMetrics.make(worker)
      const prepared = { worker, codec: codecOf(worker), handlers, dedupe, group, metrics }
      return Stream.unwrap(endings(prepared)).pipe(supervised(`worker ${worker.name}`), Stream.flattenIterable)
    })
  )

/** Makes the subscriptions of a worker, durable, unless they exist. */
export const subscribe = Effect.fnUntraced(function* <In, Out, R>(worker: Worker<In, Out, R>) {
  const broker = yield* Broker
  const { ordered } = worker
  const group = groupOf(worker, yield* DeadLetterTopics)
  const subscription = yield* broker.subscribe(worker.topic, group, { ordered })
  yield* broker.subscribe(worker.dlqTopic, undefined)
  return subscription
})

const sourceOf = Effect.fnUntraced(function* <In, Out, R>(worker: Worker<In, Out, R>) {
  const subscription = yield* subscribe(worker)
  if (worker.ordered !== undefined) return yield* OrderedLanes.make({ worker, subscription })
  return ofBroker(yield* Broker, subscription)
})

/** So many at a time when the load is high; fewer, and at once, when it is not. */
const batches = { size: 500, window: Duration.zero, concurrency: 2 }

const endings = Effect.fnUntraced(function* <In, Out, R>(prepared: Prepared<In, Out, R>) {
  const { dedupe, metrics, worker } = prepared
  const source = yield* sourceOf(worker)
  metrics.begin()
  yield* watchGauge(metrics.backlog, source.backlog)
  const handling: Handling<In, Out, R> = {
    ...prepared,
    source,
    suspects: yield* Suspects,
    shutdown: yield* Shutdown,
    spans: (yield* TracingEnabled) ? { system: (yield* Broker).kind, destination: worker.topic } : undefined,
    clock: yield* Clock.Clock
  }
  const { concurrency } = worker
  return source.deliveries({ prefetch: concurrency * prefetchPerHandler }).pipe(
    untilShutdown,
    Stream.mapArray((deliveries) => {
      metrics.taken(deliveries.length)
      return deliveries
    }),
    mapSideBySide({
      concurrency,
      keysOf: dedupe === undefined ? keysOf : keysAndIdentityOf,
      work: (delivery) => handle(handling, delivery),
      batches,
      finish: (handled) => finish(handling, handled)
    })
  )
})

const keysOf = (delivery: Delivery): ReadonlyArray<string> => {
  const key = keyOf(delivery)
  return key === undefined ? [] : [key]
}

/** Of copies that this process has in hand at the same moment, the second finds what the first has done. */
const keysAndIdentityOf = (delivery: Delivery): Iterable<string> =>
  delivery.id === undefined ? keysOf(delivery) : new Set([...keysOf(delivery), identityOf(delivery.id, delivery).input])

/** Publishes, remembers and settles what was handled at about the same time. */
const finish = Effect.fnUntraced(function* <In, Out, R>(
  { clock, dedupe, metrics, source }: Handling<In, Out, R>,
  handled: ReadonlyArray<Handled>
) {
  const published = yield* publishOutputs(handled)
  // After the outputs are confirmed, before the inputs are acknowledged: a crash before this line handles them again and
  // gives the same ids, a crash after it skips them. Remembered first, a crash would lose the outputs.
  const remembered = dedupe === undefined ? published : yield* dedupe.remember(published)
  // Whatever follows from the inputs is confirmed by now: a crash before this line repeats them, and loses nothing.
  yield* source.settle(remembered.map(toSettlement))
  metrics.settled(remembered, clock.currentTimeMillisUnsafe())
  return remembered.map(({ ending }) => ending)
})

const toSettlement = ({ ending, inHand: { delivery } }: Handled): Settlement => ({
  delivery,
  outcome: ending === "returned" ? "return" : "done"
})
