/** What a topic worker does with a message that it could not finish: put off, or set aside as a dead letter. */
import { Clock, type Duration, Effect } from "effect"
import { fitting } from "../domain/Headers.ts"
import { isoOf } from "../domain/Instant.ts"
import { Broker, BrokerAway, BrokerError, contentOf, type Delivery } from "../domain/ports/Broker.ts"
import {
  unwrapped,
  WorkerDeadLetterHeader,
  type WorkerDeadLetterReason,
  workerDeadLetter
} from "../domain/WorkerDeadLetter.ts"
import { letterId, parkedHeader, parkingsOf } from "../domain/WorkerIds.ts"
import { type Handled, handled, type InHand } from "./InHand.ts"
import { shownId } from "./MessageIds.ts"
import type { SourceError } from "./MessageSource.ts"
import type { Any } from "./Worker.ts"
import { retriesHeader, retriesOf } from "./WorkerMessages.ts"

/** Durable before the delivery is settled: a crash between the two handles it twice, the other order not at all. */
export const putOff = Effect.fnUntraced(function* (
  inHand: InHand,
  delay: Duration.Duration,
  retries: number
): Effect.fn.Return<void, SourceError> {
  const { delivery, source } = inHand
  const headers = fitting(tracedHeaders(inHand), {
    ...keyIn(delivery),
    [retriesHeader]: retries,
    [parkedHeader]: parkingsOf(delivery) + 1
  })
  yield* source.deliverLater(delivery, { ...contentOf(delivery), headers, delay })
})

// What its publisher did not trace belongs to the trace that began here.
const tracedHeaders = ({ delivery: { headers }, trace }: InHand): Delivery["headers"] => ({ ...trace, ...headers })

// Order depends on it: it is not to be left out with other headers that are too large.
const keyIn = ({ headers }: Delivery) => (headers.key === undefined ? {} : { key: headers.key })

const { ownQueue } = WorkerDeadLetterHeader

/** Confirmed when this returns. */
export const setAside = Effect.fnUntraced(function* (
  inHand: InHand,
  reason: WorkerDeadLetterReason,
  error: string
): Effect.fn.Return<Handled, BrokerError, Broker> {
  const { delivery, group, original, stem, worker } = inHand
  const broker = yield* Broker
  const time = isoOf(yield* Clock.currentTimeMillis)
  const retries = retriesOf(delivery)
  // Whoever handles the dead letter starts to count anew; where the input came from itself is said below.
  const { [retriesHeader]: _, [parkedHeader]: __, [ownQueue]: ___, ...headers } = tracedHeaders(inHand)
  const letter = workerDeadLetter({
    delivery: { ...delivery, headers },
    id: stem === undefined ? undefined : letterId(stem, worker.groupId, delivery),
    original,
    worker: worker.name,
    group: worker.groupId,
    isFromOwnQueue: group === undefined,
    source: worker.topic,
    deadLetterTopic: worker.dlqTopic,
    reason,
    error,
    retries,
    time
  })
  yield* broker.publishToTopics([letter]).pipe(
    // The broker has taken the original: it takes it once more, if not with something around it.
    Effect.catchIf(isRefused, () => broker.publishToTopics([unwrapped(letter, delivery)])),
    // Should it refuse that too, the message stays at the broker, and the worker tries again: that is told, and lasts.
    Effect.mapError((problem) => (isRefused(problem) ? untakeable(worker, problem) : problem))
  )
  yield* Effect.logWarning("dead letter").pipe(
    Effect.annotateLogs({ worker: worker.name, messageId: shownId(delivery.id), reason, retries })
  )
  return handled(inHand, "dead_lettered", reason)
})

const isRefused = ({ blamesMessage }: BrokerError): boolean => blamesMessage

const untakeable = ({ dlqTopic }: Any, { message }: BrokerError): BrokerError =>
  new BrokerError({ reason: new BrokerAway({ detail: `no dead letter can be published to ${dlqTopic}: ${message}` }) })
