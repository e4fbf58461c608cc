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
import { Array as Arr, Cause, Clock, Context, Duration, Effect, Exit, Random, Result, Stream } from "effect"
import { Broker, BrokerError, type Delivery, type Settlement, type TopicMessage } from "../domain/ports/Broker.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import type { WorkerDeadLetterReason } from "../domain/WorkerDeadLetter.ts"
import { identityOf } from "../domain/WorkerIds.ts"
import * as Batcher from "./Batcher.ts"
import { deduplicating } from "./Deduplication.ts"
import { sha256Hex, stem } from "./Digests.ts"
import { type MessageSource, ofBroker } from "./MessageSource.ts"
import * as OrderedLanes from "./OrderedLanes.ts"
import { Shutdown, untilShutdown } from "./Shutdown.ts"
import { mapSideBySide } from "./SideBySide.ts"
import { supervised } from "./Supervisor.ts"
import { Suspects, type SuspectsShape } from "./Suspects.ts"
import { CurrentMessage, type Handlers, Reject, Snooze, type Worker } from "./Worker.ts"
import { check, groupOf, prefetchPerHandler, queueOf } from "./WorkerChecks.ts"
import * as WorkerHandlers from "./WorkerHandlers.ts"
import { type InHand, putOff, setAside } from "./WorkerLetters.ts"
import { type Codec, codecOf, keyOf, messageOf, outputIds, readOriginal, retriesOf } from "./WorkerMessages.ts"
import { counting } from "./WorkerMetrics.ts"

/** How a delivery ended; `skipped`: the group had finished it before. */
export type Ending = "done" | "retried" | "snoozed" | "dead_lettered" | "skipped" | "returned"

/** Topics of dead letters whose names do not show it: those that the workers of this process, or its module, name. */
export const DeadLetterTopics = Context.Reference<ReadonlySet<string>>(
  "paystream/streams/TopicWorker/DeadLetterTopics",
  {
    defaultValue: () => new Set()
  }
)

/** What holds for a worker as long as its process lives. */
interface Prepared<In, Out, R> {
  readonly worker: Worker<In, Out, R>
  readonly codec: Codec<In>
  readonly handlers: Handlers<In, Out, unknown, R>
  /** Without `dedupe` there is none. */
  readonly dedupe: Deduplicating | undefined
  /** None for what consumes dead letters. */
  readonly group: string | undefined
  readonly count: ReturnType<typeof counting<Ending>>
}

/** What is made anew when its stream starts again. */
interface Running<In, Out, R> extends Prepared<In, Out, R> {
  readonly source: MessageSource
  readonly suspects: SuspectsShape
  readonly shutdown: Shutdown["Service"]
  readonly clock: Clock.Clock
  /** Outputs of handlers that end at about the same time are confirmed together. */
  readonly outputs: Batcher.Batcher<TopicMessage, BrokerError>
}

type Deduplicating = Effect.Success<ReturnType<typeof deduplicating>>

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
      const prepared = { worker, codec: codecOf(worker), handlers, dedupe, group, count: counting<Ending>(worker.name) }
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
  const { worker } = prepared
  const broker = yield* Broker
  const running: Running<In, Out, R> = {
    ...prepared,
    source: yield* sourceOf(worker),
    suspects: yield* Suspects,
    shutdown: yield* Shutdown,
    clock: yield* Clock.Clock,
    outputs: yield* Batcher.make({
      ...batches,
      work: broker.publishToTopics,
      blamesOne: ({ blamesMessage }) => blamesMessage
    })
  }
  const { concurrency } = worker
  return running.source.deliveries({ prefetch: concurrency * prefetchPerHandler }).pipe(
    untilShutdown,
    mapSideBySide({ concurrency, keyOf }, (delivery, giveUpPlace) => work(running, delivery, giveUpPlace)),
    Stream.mapArrayEffect((ended) => Effect.map(settle(running, ended), Arr.of))
  )
})

interface Ended extends Settlement {
  readonly ending: Ending
}

// What every message passes is made of few steps, without a generator where one step follows another: beside bare
// drivers, steps are most of what a worker costs.

/** Handles one delivery. */
const work = <In, Out, R>(running: Running<In, Out, R>, delivery: Delivery, giveUpPlace: () => void) => {
  const { dedupe, group, source, worker } = running
  const ended = (ending: Ending): Ended => ({
    delivery,
    outcome: ending === "returned" ? "return" : "done",
    ending
  })
  // What is somebody else's by now would only be done twice.
  if (delivery.isRevoked?.()) return Effect.succeed(ended("returned"))
  const handled = (stem: string | undefined) => {
    const inHand: InHand = { worker, group, source, delivery, original: readOriginal(delivery), stem, giveUpPlace }
    return dedupe === undefined ? tried(running, inHand) : dedupe(inHand, tried(running, inHand))
  }
  const own = delivery.id === undefined ? Effect.undefined : stem(delivery.id)
  return Effect.map(Effect.flatMap(own, handled), ended)
}

/** Settles what has ended at about the same time. */
const settle = Effect.fnUntraced(function* <In, Out, R>(
  { count, source }: Running<In, Out, R>,
  ended: ReadonlyArray<Ended>
) {
  // Whatever follows from the inputs is confirmed by now: a crash before this line repeats them, and loses nothing.
  yield* source.settle(ended)
  const endings = ended.map(({ ending }) => ending)
  yield* count(endings)
  return endings
})

/** What comes again may be what killed a process: it is marked, and not handled any more when it has done so too often. */
const tried = <In, Out, R>(running: Running<In, Out, R>, inHand: InHand) => {
  const { delivery, worker } = inHand
  const handled = handle(running, inHand)
  if (delivery.attempt <= 1) return running.suspects.beside(handled)
  const identity =
    inHand.stem === undefined
      ? Effect.map(sha256Hex(delivery.body), (sha256) => JSON.stringify({ sha256 }))
      : Effect.succeed(identityOf(inHand.stem, delivery).parking)
  return running.suspects.again({
    suspect: Effect.map(identity, (identity) => ({ consumer: queueOf(worker), identity })),
    handle: handled,
    // Its author's hook is not called: what kills the process in one handler may do so in the other.
    setAside: (crashes) =>
      deadLettered(inHand, "crashed", `the process died ${crashes} times while it handled this message alone`)
  })
}

const handle = Effect.fnUntraced(function* <In, Out, R>(running: Running<In, Out, R>, inHand: InHand) {
  // What waited for its turn meanwhile is not begun any more.
  if (yield* running.shutdown.isRequested) return "returned" as const
  const input = yield* Effect.result(running.codec.decode(inHand.original))
  if (Result.isFailure(input)) return yield* deadLettered(inHand, "invalid_input", input.failure)
  return yield* handleInput(running, inHand, input.success)
})

const deadLettered = (inHand: InHand, reason: WorkerDeadLetterReason, error: string) =>
  Effect.as(setAside(inHand, reason, error), "dead_lettered" as const)

type NextId = () => string | undefined

/**
 * Whether others may be handled while the output of one is confirmed: requests to the broker are then as large as the
 * prefetch allows, not as the concurrency does (three times the rate on Kafka). One at a time stays one after the other.
 */
const mayPublishBeside = <In, Out, R>({ handlers, worker }: Running<In, Out, R>): boolean =>
  worker.concurrency > 1 && handlers.onSuccess === undefined

const handleInput = Effect.fnUntraced(function* <In, Out, R>(running: Running<In, Out, R>, inHand: InHand, input: In) {
  const nextId = outputIds(running.worker.name, inHand.stem)
  const exit = yield* Effect.exit(
    Effect.suspend(() => running.handlers.process(input)).pipe(
      Effect.provideService(CurrentMessage, { id: inHand.stem, nextId })
    )
  )
  if (Exit.isFailure(exit)) return yield* handleFailure(running, inHand, input, nextId, exit.cause)
  if (mayPublishBeside(running)) inHand.giveUpPlace()
  const output = yield* Effect.result(running.codec.encode(exit.value))
  if (Result.isFailure(output)) return yield* deadLettered(inHand, "invalid_output", output.failure)
  const refusal =
    output.success === undefined ? undefined : yield* publishOutput(running, inHand, nextId, output.success)
  if (refusal !== undefined) return yield* deadLettered(inHand, "invalid_output", refusal.message)
  const { onSuccess } = running.handlers
  if (onSuccess)
    yield* hook(running, "onSuccess", { id: inHand.stem, nextId }, () => onSuccess(input, exit.value ?? undefined))
  return "done" as const
})

// Output

const encoder = new TextEncoder()

/** Confirmed when this returns; an output that the broker takes from nobody is given back as the reason. */
const publishOutput = <In, Out, R>(
  { clock, outputs, worker }: Running<In, Out, R>,
  { delivery }: InHand,
  nextId: NextId,
  text: string
): Effect.Effect<BrokerError | undefined, BrokerError> => {
  if (worker.outputTopic === undefined) return Effect.undefined
  const key = keyOf(delivery)
  const output = {
    topic: worker.outputTopic,
    id: nextId(),
    body: encoder.encode(text),
    contentType: "application/json",
    publishedAtMillis: clock.currentTimeMillisUnsafe(),
    headers: key === undefined ? {} : { key }
  }
  return Effect.matchEffect(outputs.add(output), {
    onFailure: (error) => (error.blamesMessage ? Effect.succeed(error) : Effect.fail(error)),
    onSuccess: () => Effect.undefined
  })
}

// Failure

const handleFailure = Effect.fnUntraced(function* <In, Out, R>(
  running: Running<In, Out, R>,
  inHand: InHand,
  input: In,
  nextId: NextId,
  cause: Cause.Cause<unknown>
) {
  const { worker } = running
  const error = Cause.squash(cause)
  // The broker's trouble is no message's fault: it uses up no attempt. What it refuses, it will refuse again.
  if (error instanceof BrokerError && error.isRetryable) return yield* error
  if (Cause.hasDies(cause)) yield* Effect.logError(`worker ${worker.name}: a defect in the handler`, cause)
  const retries = retriesOf(inHand.delivery)
  if (error instanceof Snooze) return yield* later(inHand, error.delay, retries, "snoozed")
  if (!(error instanceof Reject) && RetryPolicy.mayRetry(worker.retry, retries + 1)) {
    const delay = RetryPolicy.jitteredDelay(worker.retry, retries + 1, yield* Random.next)
    return yield* later(inHand, delay, retries + 1, "retried")
  }
  const ending = yield* deadLettered(
    inHand,
    error instanceof Reject ? "rejected" : "retries_exhausted",
    messageOf(error)
  )
  const { onError } = running.handlers
  if (onError) yield* hook(running, "onError", { id: inHand.stem, nextId }, () => onError(input, error))
  return ending
})

/** What the broker does not let wait cannot be tried again: it is set aside. */
const later = <E extends Ending>(inHand: InHand, delay: Duration.Duration, retries: number, ending: E) =>
  Effect.as(putOff(inHand, delay, retries), ending).pipe(
    Effect.catchIf(
      (error) => error._tag === "BrokerError" && error.blamesMessage,
      (refusal) => deadLettered(inHand, "retries_exhausted", refusal.message)
    )
  )

/** A hook that fails is told and changes nothing. */
const hook = <In, Out, R>(
  { worker }: Running<In, Out, R>,
  name: string,
  message: CurrentMessage,
  run: () => Effect.Effect<unknown, unknown, R>
): Effect.Effect<void, never, R> =>
  Effect.suspend(run).pipe(
    Effect.provideService(CurrentMessage, message),
    Effect.asVoid,
    Effect.catchCause((cause) => Effect.logWarning(`worker ${worker.name}: its ${name} failed`, cause))
  )
