/**
 * Publishes a batch of events in order per key, and tells what became of each.
 *
 * Of what a broker could refuse one by one, a key has one unconfirmed event at most: were two under way, the first could
 * be refused and the second taken. Where it takes all messages of a call with the same topic and key or none of them, they
 * go together.
 */
import { Clock, Effect, Semaphore } from "effect"
import { blamesEvent } from "../domain/OutboxAttempts.ts"
import { exchangeHeader, isCommand, laneOf, type PendingEvent } from "../domain/OutboxEvent.ts"
import { waves } from "../domain/OutboxOrder.ts"
import { Broker, type BrokerError, type MessageContent, type TopicMessage } from "../domain/ports/Broker.ts"
import * as OutboxMetrics from "./OutboxMetrics.ts"

/** An event that the broker did not take, and why. */
export interface Refusal {
  readonly event: PendingEvent
  readonly error: BrokerError
}

/** What became of a batch so far: what is in neither list was not tried, or is not known to be taken. */
export interface Progress {
  readonly published: Array<PendingEvent>
  readonly refused: Array<Refusal>
}

const contentOf = (event: PendingEvent, headers: PendingEvent["headers"]): MessageContent => ({
  id: event.id,
  body: Buffer.from(event.payload),
  headers: event.key === undefined ? headers : { ...headers, key: event.key },
  contentType: "application/json",
  publishedAtMillis: event.createdAtMillis
})

const messageOf = (event: PendingEvent): MessageContent & Pick<TopicMessage, "exchange"> => {
  const { [exchangeHeader]: exchange, ...headers } = event.headers
  if (typeof exchange !== "string" || exchange === "") return contentOf(event, event.headers)
  return { ...contentOf(event, headers), exchange }
}

// A command is for the queue of its name, which has to be there; Kafka, which has none, keeps whatever comes.
const send = (broker: Broker["Service"], events: ReadonlyArray<PendingEvent>) => {
  const isForQueue = ({ topic }: PendingEvent) => broker.kind !== "kafka" && isCommand(topic)
  const commands = events.filter(isForQueue).map((event) => ({ ...messageOf(event), queue: event.topic }))
  const others = events
    .filter((event) => !isForQueue(event))
    .map((event) => ({ ...messageOf(event), topic: event.topic }))
  if (commands.length === 0) return broker.publishToTopics(others)
  return Effect.all([broker.publish(commands), others.length === 0 ? Effect.void : broker.publishToTopics(others)], {
    concurrency: 2,
    discard: true
  })
}

/** Those before which none of their key was refused. */
const unlessStopped = (events: ReadonlyArray<PendingEvent>, { refused }: Progress): ReadonlyArray<PendingEvent> => {
  if (refused.length === 0) return events
  const stopped = new Set(refused.map(({ event }) => laneOf(event)))
  return events.filter((event) => !stopped.has(laneOf(event)))
}

/** Publishes for up to `concurrency` batches at a time. */
export const make = Effect.fnUntraced(function* (concurrency: number) {
  const broker = yield* Broker
  const together = (before: PendingEvent, event: PendingEvent) =>
    broker.takesTogether === true && before.topic === event.topic
  const turns = yield* Semaphore.make(concurrency)

  // Alone: what others publish meanwhile on the same channel would be to blame as well.
  const isolate = (all: ReadonlyArray<PendingEvent>, progress: Progress): Effect.Effect<void, BrokerError> => {
    const events = unlessStopped(all, progress)
    const middle = events.length >> 1
    const [event] = events
    if (event === undefined) return Effect.void
    return send(broker, events).pipe(
      Effect.andThen(Effect.sync(() => void progress.published.push(...events))),
      Effect.catch((error) =>
        Effect.gen(function* () {
          if (error.reason._tag === "BrokerAway") return yield* error
          if (events.length > 1) {
            yield* isolate(events.slice(0, middle), progress)
            return yield* isolate(events.slice(middle), progress)
          }
          if (!blamesEvent(error, yield* broker.status)) return yield* error
          progress.refused.push({ event, error })
        })
      )
    )
  }

  const publishWave = (events: ReadonlyArray<PendingEvent>, progress: Progress) =>
    Semaphore.withPermits(
      turns,
      1
    )(send(broker, events)).pipe(
      Effect.andThen(Effect.sync(() => void progress.published.push(...events))),
      Effect.catchIf(
        (error) => error.reason._tag !== "BrokerAway",
        () => Semaphore.withPermits(turns, concurrency)(isolate(events, progress))
      )
    )

  /**
   * Publishes wave after wave, as long as `mayGoOn`. What the broker refuses stops its own key; fails when the broker is
   * away, and `progress` holds what was taken by then.
   */
  return Effect.fnUntraced(function* (
    events: ReadonlyArray<PendingEvent>,
    progress: Progress,
    mayGoOn: Effect.Effect<boolean>
  ): Effect.fn.Return<void, BrokerError> {
    const takenAtNanos = yield* Clock.currentTimeNanos
    for (const wave of waves(events, laneOf, together)) {
      const open = unlessStopped(wave, progress)
      // Looked at just before: what a frozen relay was about to publish when it froze is not ours any more.
      if (open.length === 0 || !(yield* mayGoOn)) return
      const before = progress.published.length
      yield* publishWave(open, progress)
      const sinceMillis = Number((yield* Clock.currentTimeNanos) - takenAtNanos) / 1_000_000
      yield* OutboxMetrics.confirmed(progress.published.slice(before).map(({ ageMillis }) => ageMillis + sinceMillis))
    }
  })
})
