/**
 * What a topic worker does with one delivery: not finished yet → decoded → handled → encoded; what fails is put off or
 * set aside. What is left to do then is done for many together.
 *
 * What every message passes is begun at once and goes on for as long as there is nothing to wait for: beside bare
 * drivers, the steps of fibers are most of what a worker costs.
 */
import { Cause, type Clock, type Duration, Effect, Exit, Random } from "effect"
import { BrokerError, type Delivery, isRevoked } from "../domain/ports/Broker.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import { identityOf } from "../domain/WorkerIds.ts"
import { atOnce } from "./AtOnce.ts"
import { CurrentMessage } from "./CurrentMessage.ts"
import type { deduplicating } from "./Deduplication.ts"
import { sha256Hex, stem } from "./Digests.ts"
import { type Ending, type Handled, handled, type InHand } from "./InHand.ts"
import type { MessageSource } from "./MessageSource.ts"
import type { Shutdown } from "./Shutdown.ts"
import type { SuspectsShape } from "./Suspects.ts"
import { traceIn } from "./Trace.ts"
import { inMessageSpan, type Source } from "./Tracing.ts"
import { type Handlers, Reject, Snooze, type Worker } from "./Worker.ts"
import { queueOf } from "./WorkerChecks.ts"
import { putOff, setAside } from "./WorkerLetters.ts"
import { type Codec, messageOf, outputIds, readOriginal, retriesOf, versionProblem } from "./WorkerMessages.ts"
import type { WorkerMetrics } from "./WorkerMetrics.ts"
import { outputOf, publishOutput } from "./WorkerOutputs.ts"

/** What deliveries are handled with. */
export interface Handling<In, Out, R> {
  readonly worker: Worker<In, Out, R>
  readonly codec: Codec<In>
  readonly handlers: Handlers<In, Out, unknown, R>
  /** Without `dedupe` there is none. */
  readonly dedupe: Effect.Success<ReturnType<typeof deduplicating>> | undefined
  /** None for what consumes dead letters. */
  readonly group: string | undefined
  readonly source: MessageSource
  readonly suspects: SuspectsShape
  readonly shutdown: Shutdown["Service"]
  readonly clock: Clock.Clock
  readonly metrics: WorkerMetrics
  /** What spans say of their source; none where they go nowhere. */
  readonly spans: Source | undefined
}

/** Handles one delivery. */
export const handle = <In, Out, R>(handling: Handling<In, Out, R>, delivery: Delivery) => {
  const own = delivery.id === undefined ? Effect.undefined : stem(delivery.id)
  return Effect.flatMapEager(own, (stem) => {
    const { dedupe, group, source, worker } = handling
    const trace = traceIn(delivery.headers)
    const inHand: InHand = { worker, group, source, delivery, original: readOriginal(delivery), stem, trace }
    // What is somebody else's by now would only be done twice.
    if (isRevoked(delivery)) return Effect.succeed(handled(inHand, "returned"))
    if (dedupe === undefined) return tried(handling, inHand)
    return dedupe.unlessFinished(
      inHand,
      Effect.suspend(() => tried(handling, inHand))
    )
  })
}

/** What comes again may be what killed a process: it is marked, and not handled any more when it has done so too often. */
const tried = <In, Out, R>(handling: Handling<In, Out, R>, inHand: InHand) => {
  const { delivery, stem, worker } = inHand
  const begun = () =>
    handling.spans === undefined ? begin(handling, inHand) : inSpan(handling, inHand, handling.spans)
  if (delivery.attempt <= 1) return handling.suspects.beside(begun)
  const identity =
    stem === undefined
      ? Effect.map(sha256Hex(delivery.body), (sha256) => JSON.stringify({ sha256 }))
      : Effect.succeed(identityOf(stem, delivery).parking)
  return handling.suspects.again({
    suspect: Effect.map(identity, (identity) => ({ consumer: queueOf(worker), identity })),
    handle: Effect.suspend(begun),
    // Its letter comes first: should the hook kill the process too, it is not called again.
    setAside: (crashes, isFirst) =>
      Effect.tap(
        setAside(inHand, "crashed", `the process died ${crashes} times while it handled this message alone`),
        isFirst ? tellCrashed(handling, inHand, crashes) : Effect.void
      )
  })
}

const tellCrashed = <In, Out, R>(handling: Handling<In, Out, R>, inHand: InHand, crashes: number) => {
  const { onCrashed } = handling.handlers
  if (onCrashed === undefined) return Effect.void
  const message: CurrentMessage = {
    id: inHand.stem,
    nextId: outputIds(handling.worker.name, inHand.stem),
    trace: inHand.trace
  }
  return Effect.matchEffect(handling.codec.decode(inHand.original), {
    onFailure: () => Effect.void,
    onSuccess: (input) => hook(handling, "onCrashed", message, () => onCrashed(input, crashes))
  })
}

const inSpan = <In, Out, R>(handling: Handling<In, Out, R>, inHand: InHand, source: Source) => {
  const { groupId: group, name } = handling.worker
  const message = { ...source, delivery: inHand.delivery, worker: name, group }
  return inMessageSpan(message, (trace) => Effect.suspend(() => begin(handling, { ...inHand, trace })), problemOf)
}

const problemOf = ({ ending, reason }: Handled): string | undefined =>
  reason ?? (ending === "retried" ? ending : undefined)

const begin = <In, Out, R>(handling: Handling<In, Out, R>, inHand: InHand) => {
  // What waited for its turn meanwhile is not begun any more.
  if (handling.shutdown.isRequestedUnsafe()) return Effect.succeed(handled(inHand, "returned"))
  const problem = versionProblem(handling.worker, inHand.delivery)
  if (problem !== undefined) return setAside(inHand, "invalid_input", problem)
  return ifValid(
    handling.codec.decode(inHand.original),
    (input) => handleInput(handling, inHand, input),
    (problem) => setAside(inHand, "invalid_input", problem)
  )
}

/** Goes on with a value, or with what is wrong with it. */
const ifValid = <A, B, E, R, E2, R2>(
  checked: Effect.Effect<A, string>,
  onValid: (value: A) => Effect.Effect<B, E, R>,
  onProblem: (problem: string) => Effect.Effect<B, E2, R2>
): Effect.Effect<B, E | E2, R | R2> =>
  Effect.matchCauseEffectEager(checked, {
    onSuccess: onValid,
    onFailure: (cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.interrupt : onProblem(messageOf(Cause.squash(cause)))
  })

const handleInput = <In, Out, R>(handling: Handling<In, Out, R>, inHand: InHand, input: In) => {
  const { clock, handlers, metrics, worker } = handling
  const message: CurrentMessage = { id: inHand.stem, nextId: outputIds(worker.name, inHand.stem), trace: inHand.trace }
  let begunAtMillis = 0
  const processed = atOnce(() => {
    begunAtMillis = clock.currentTimeMillisUnsafe()
    const result = handlers.process(input)
    // A handler that has its result already asks for nothing.
    return Exit.isExit(result) ? result : Effect.provideService(result, CurrentMessage, message)
  })
  const end = (): Ended<In> => {
    const endedAtMillis = clock.currentTimeMillisUnsafe()
    metrics.handled(endedAtMillis - begunAtMillis)
    return { inHand, input, message, endedAtMillis }
  }
  return Effect.matchCauseEffectEager(processed, {
    onFailure: (cause) => {
      const ended = end()
      return unlessLost(inHand, () => handleFailure(handling, ended, cause))
    },
    onSuccess: (result) => {
      const ended = end()
      return unlessLost(inHand, () => handleResult(handling, ended, result))
    }
  })
}

/** What became somebody else's while it was handled is theirs: a second output, retry or letter would be out of order. */
const unlessLost = <E, R>(inHand: InHand, proceed: () => Effect.Effect<Handled, E, R>): Effect.Effect<Handled, E, R> =>
  isRevoked(inHand.delivery) ? Effect.succeed(handled(inHand, "returned")) : proceed()

/** An input that its handler is through with. */
interface Ended<In> {
  readonly inHand: InHand
  readonly input: In
  readonly message: CurrentMessage
  readonly endedAtMillis: number
}

// Result

// biome-ignore lint/suspicious/noConfusingVoidType: a handler that gives nothing is an Effect of void
type HandlerResult<Out> = Out | null | undefined | void

const handleResult = <In, Out, R>(handling: Handling<In, Out, R>, ended: Ended<In>, result: HandlerResult<Out>) =>
  ifValid(
    handling.codec.encode(result),
    (text) => {
      const done = withOutput(handling, ended, text)
      return isFinishedTogether(handling) ? Effect.succeed(done) : finishAlone(handling, ended, done, result)
    },
    (problem) => setAside(ended.inHand, "invalid_output", problem)
  )

const withOutput = <In, Out, R>(
  { worker: { outputTopic } }: Handling<In, Out, R>,
  { endedAtMillis, inHand, message }: Ended<In>,
  text: string | undefined
): Handled => {
  if (text === undefined || outputTopic === undefined) return handled(inHand, "done")
  const output = outputOf(inHand, { topic: outputTopic, id: message.nextId(), text, publishedAtMillis: endedAtMillis })
  return { inHand, ending: "done", output, reason: undefined }
}

/**
 * Whether others may be handled while the output of one is confirmed: requests to the broker are then as large as the
 * prefetch allows, not as the concurrency does (three times the rate on Kafka). One at a time stays one after the other.
 */
const isFinishedTogether = <In, Out, R>({ handlers, worker }: Handling<In, Out, R>): boolean =>
  worker.concurrency > 1 && handlers.onSuccess === undefined

const finishAlone = Effect.fnUntraced(function* <In, Out, R>(
  handling: Handling<In, Out, R>,
  { inHand, input, message }: Ended<In>,
  done: Handled,
  result: HandlerResult<Out>
) {
  const { ending } = yield* publishOutput(done)
  const { onSuccess } = handling.handlers
  if (onSuccess && ending === "done")
    yield* hook(handling, "onSuccess", message, () => onSuccess(input, result ?? undefined))
  return handled(inHand, ending)
})

// Failure

/** Jitter takes one of so many waits: a broker may keep a queue for each, and this many are spread enough. */
const jitterPlaces = 32

const handleFailure = Effect.fnUntraced(function* <In, Out, R>(
  handling: Handling<In, Out, R>,
  { inHand, input, message }: Ended<In>,
  cause: Cause.Cause<unknown>
) {
  const { worker } = handling
  const error = Cause.squash(cause)
  // The broker's trouble is no message's fault: it uses up no attempt. What it refuses, it will refuse again.
  if (error instanceof BrokerError && error.isRetryable) return yield* error
  if (Cause.hasDies(cause)) yield* Effect.logError(`worker ${worker.name}: a defect in the handler`, cause)
  const retries = retriesOf(inHand.delivery)
  if (error instanceof Snooze) return yield* later(inHand, error.delay, retries, "snoozed")
  if (!(error instanceof Reject) && RetryPolicy.mayRetry(worker.retry, retries + 1)) {
    const place = Math.floor((yield* Random.next) * jitterPlaces) / jitterPlaces
    const delay = RetryPolicy.jitteredDelay(worker.retry, retries + 1, place)
    return yield* later(inHand, delay, retries + 1, "retried")
  }
  const ended = yield* setAside(inHand, error instanceof Reject ? "rejected" : "retries_exhausted", messageOf(error))
  const { onError } = handling.handlers
  if (onError) yield* hook(handling, "onError", message, () => onError(input, error))
  return ended
})

/** What the broker does not let wait cannot be tried again: it is set aside. */
const later = (inHand: InHand, delay: Duration.Duration, retries: number, ending: Ending) =>
  Effect.as(putOff(inHand, delay, retries), handled(inHand, ending)).pipe(
    Effect.catchIf(
      (error) => error._tag === "BrokerError" && error.blamesMessage,
      (refusal) => setAside(inHand, "retries_exhausted", refusal.message)
    )
  )

/** A hook that fails is told and changes nothing. */
const hook = <In, Out, R>(
  { metrics, worker }: Handling<In, Out, R>,
  name: "onSuccess" | "onError" | "onCrashed",
  message: CurrentMessage,
  run: () => Effect.Effect<unknown, unknown, R>
): Effect.Effect<void, never, R> =>
  Effect.suspend(run).pipe(
    Effect.provideService(CurrentMessage, message),
    Effect.asVoid,
    Effect.catchCause((cause) => {
      metrics.hookFailed(name)
      return Effect.logWarning(`worker ${worker.name}: its ${name} failed`, cause)
    })
  )
