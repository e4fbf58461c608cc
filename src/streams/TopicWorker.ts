/**
 * A topic worker at work: deliveries → decoded → handled → output published → settled.
 *
 * ## Guarantees
 * - At least once: an input is acknowledged only after its output, its retry or its dead letter is confirmed.
 * - Messages of one key are handled one after the other, those of different keys side by side up to the concurrency.
 * - A failure, a defect included, concerns its own message alone.
 *
 * ## Assumptions
 * - A message that waits for its retry may be overtaken by later ones of its key.
 */
import { Cause, Clock, DateTime, type Duration, Effect, Exit, Random, Result, Stream } from "effect"
import { Broker, BrokerError, type Delivery, type Subscription } from "../domain/ports/Broker.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import { type WorkerDeadLetterReason, workerDeadLetter } from "../domain/WorkerDeadLetter.ts"
import * as Lanes from "./Lanes.ts"
import { shownId } from "./MessageIds.ts"
import { Shutdown, untilShutdown } from "./Shutdown.ts"
import { supervised } from "./Supervisor.ts"
import { CurrentMessage, type Handlers, Reject, Snooze, type Worker } from "./Worker.ts"
import {
  decodeInput,
  encodeOutput,
  keyOf,
  messageOf,
  type Original,
  outputIds,
  readOriginal,
  retriesHeader,
  retriesOf
} from "./WorkerMessages.ts"
import { counted } from "./WorkerMetrics.ts"

/** How a delivery ended. */
export type Ending = "done" | "retried" | "snoozed" | "dead_lettered" | "returned"

/** Enough waits behind each handler that a slow key does not leave the others without work. */
const prefetchPerHandler = 8

interface Running<In, Out, R> {
  readonly worker: Worker<In, Out, R>
  readonly handlers: Handlers<In, Out, unknown, R>
  readonly subscription: Subscription
}

/** The ending of each delivery, as they are settled; ends when asked to shut down. */
export const topicWorker = <In, Out, R>(worker: Worker<In, Out, R>) =>
  Stream.unwrap(
    // Outside of what is restarted: a broker that was away costs nobody's shared state. A worker whose services cannot
    // be had is a mistake of its author's: it ends with its stack, not quietly.
    Effect.map(Effect.orDie(worker.handlers), (handlers) =>
      Stream.unwrap(Effect.map(subscribe(worker), (subscription) => endings({ worker, handlers, subscription }))).pipe(
        supervised(`worker ${worker.name}`)
      )
    )
  )

/** Makes the subscriptions of a worker, durable, unless they exist. */
export const subscribe = Effect.fnUntraced(function* <In, Out, R>(worker: Worker<In, Out, R>) {
  const broker = yield* Broker
  const isDeadLetters = worker.topic.endsWith(".dlq")
  const subscription = yield* broker.subscribe(worker.topic, isDeadLetters ? undefined : worker.groupId)
  yield* broker.subscribe(worker.dlqTopic, undefined)
  return subscription
})

const endings = <In, Out, R>(running: Running<In, Out, R>) => {
  const { concurrency } = running.worker
  const lanes = Lanes.make(concurrency)
  const prefetch = concurrency * prefetchPerHandler
  return Stream.unwrap(Broker.useSync((broker) => broker.deliveries(running.subscription, { prefetch }))).pipe(
    untilShutdown,
    Stream.mapEffect((delivery) => lanes.run(keyOf(delivery), work(running, delivery)), {
      concurrency: prefetch,
      unordered: true
    })
  )
}

/** Handles one delivery and settles it. */
const work = Effect.fnUntraced(function* <In, Out, R>(running: Running<In, Out, R>, delivery: Delivery) {
  const broker = yield* Broker
  const stopping = yield* (yield* Shutdown).isRequested
  const ending: Ending = stopping ? "returned" : yield* handle(running, delivery)
  // Whatever follows from the input is confirmed by now: a crash before this line repeats it, and loses nothing.
  yield* broker.settle([{ delivery, outcome: stopping ? "return" : "done" }])
  yield* counted(running.worker.name, ending)
  return ending
})

const handle = <In, Out, R>(running: Running<In, Out, R>, delivery: Delivery) => {
  const original = readOriginal(delivery)
  return decodeInput(running.worker, original).pipe(
    Effect.matchEffect({
      onFailure: (problem) => setAside(running, delivery, original, "invalid_input", problem),
      onSuccess: (input) => handleInput(running, delivery, original, input)
    })
  )
}

const handleInput = Effect.fnUntraced(function* <In, Out, R>(
  running: Running<In, Out, R>,
  delivery: Delivery,
  original: Original,
  input: In
) {
  const nextId = outputIds(running.worker.name, delivery)
  const exit = yield* Effect.exit(
    Effect.suspend(() => running.handlers.process(input)).pipe(Effect.provideService(CurrentMessage, { nextId }))
  )
  if (Exit.isFailure(exit)) return yield* handleFailure(running, delivery, original, input, nextId, exit.cause)
  const output = yield* Effect.result(encodeOutput(running.worker, exit.value))
  if (Result.isFailure(output)) return yield* setAside(running, delivery, original, "invalid_output", output.failure)
  if (output.success !== undefined) yield* publishOutput(running.worker, delivery, nextId, output.success)
  const { onSuccess } = running.handlers
  if (onSuccess) yield* hook(running, "onSuccess", nextId, () => onSuccess(input, exit.value ?? undefined))
  return "done" as const
})

// Output

const encoder = new TextEncoder()

const publishOutput = Effect.fnUntraced(function* <In, Out, R>(
  worker: Worker<In, Out, R>,
  delivery: Delivery,
  nextId: () => string | undefined,
  text: string
) {
  if (worker.outputTopic === undefined) return
  const broker = yield* Broker
  const key = keyOf(delivery)
  yield* broker.publishToTopics([
    {
      topic: worker.outputTopic,
      id: nextId(),
      body: encoder.encode(text),
      contentType: "application/json",
      publishedAtMillis: yield* Clock.currentTimeMillis,
      headers: key === undefined ? {} : { key }
    }
  ])
})

// Failure

const handleFailure = Effect.fnUntraced(function* <In, Out, R>(
  running: Running<In, Out, R>,
  delivery: Delivery,
  original: Original,
  input: In,
  nextId: () => string | undefined,
  cause: Cause.Cause<unknown>
) {
  const { worker } = running
  const error = Cause.squash(cause)
  // The broker's trouble is no message's fault: it uses up no attempt. What it refuses, it will refuse again.
  if (error instanceof BrokerError && error.isRetryable) return yield* error
  if (Cause.hasDies(cause)) yield* Effect.logError(`worker ${worker.name}: a defect in the handler`, cause)
  if (error instanceof Snooze) return yield* later(running, delivery, error.delay, retriesOf(delivery), "snoozed")
  const retries = retriesOf(delivery)
  if (!(error instanceof Reject) && RetryPolicy.mayRetry(worker.retry, retries + 1)) {
    const delay = RetryPolicy.jitteredDelay(worker.retry, retries + 1, yield* Random.next)
    return yield* later(running, delivery, delay, retries + 1, "retried")
  }
  const reason = error instanceof Reject ? "rejected" : "retries_exhausted"
  const ending = yield* setAside(running, delivery, original, reason, messageOf(error))
  const { onError } = running.handlers
  if (onError) yield* hook(running, "onError", nextId, () => onError(input, error))
  return ending
})

/** Durable before the delivery is settled: a crash between the two handles it twice, the other order not at all. */
const later = Effect.fnUntraced(function* <In, Out, R, E extends Ending>(
  { subscription }: Running<In, Out, R>,
  delivery: Delivery,
  delay: Duration.Duration,
  retries: number,
  ending: E
) {
  const broker = yield* Broker
  const { attempt: _, receipt: __, ...content } = delivery
  const headers = { ...delivery.headers, [retriesHeader]: retries }
  yield* broker.deliverLater(subscription, [{ ...content, headers, delay }])
  return ending
})

const setAside = Effect.fnUntraced(function* <In, Out, R>(
  { worker }: Running<In, Out, R>,
  delivery: Delivery,
  original: Original,
  reason: WorkerDeadLetterReason,
  error: string
) {
  const broker = yield* Broker
  const time = DateTime.formatIso(DateTime.makeUnsafe(yield* Clock.currentTimeMillis))
  const retries = retriesOf(delivery)
  // Whoever handles the dead letter starts to count anew.
  const { [retriesHeader]: _, ...headers } = delivery.headers
  yield* broker.publishToTopics([
    workerDeadLetter({
      delivery: { ...delivery, headers },
      original,
      worker: worker.name,
      group: worker.groupId,
      source: worker.topic,
      deadLetterTopic: worker.dlqTopic,
      reason,
      error,
      retries,
      time
    })
  ])
  yield* Effect.logWarning("dead letter").pipe(
    Effect.annotateLogs({ worker: worker.name, messageId: shownId(delivery.id), reason, retries })
  )
  return "dead_lettered" as const
})

/** A hook that fails is told and changes nothing. */
const hook = <In, Out, R>(
  { worker }: Running<In, Out, R>,
  name: string,
  nextId: () => string | undefined,
  run: () => Effect.Effect<unknown, unknown, R>
): Effect.Effect<void, never, R> =>
  Effect.suspend(run).pipe(
    Effect.provideService(CurrentMessage, { nextId }),
    Effect.asVoid,
    Effect.catchCause((cause) => Effect.logWarning(`worker ${worker.name}: its ${name} failed`, cause))
  )
