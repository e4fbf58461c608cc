/**
 * The payment worker: deliveries → batches → stored → settled → reported.
 *
 * ## Guarantees
 * - A message is acknowledged only after its payment is committed, or its dead letter is confirmed.
 * - Batches are settled in the order in which they were taken, whatever order they are committed in.
 * - While the database or the broker is away, nothing is acknowledged, nothing is lost, and nothing is taken twice.
 *
 * ## Assumptions
 * - Messages without an id are stored at least once: a crash between commit and acknowledgement stores them again.
 */
import {
  Array as Arr,
  Cause,
  Clock,
  DateTime,
  type Duration,
  Effect,
  Metric,
  Option,
  Predicate,
  Result,
  Schedule,
  Stream
} from "effect"
import * as BatchReport from "../domain/BatchReport.ts"
import { type DeadLetterReason, deadLetter } from "../domain/DeadLetter.ts"
import { decodePayload } from "../domain/Payment.ts"
import { Broker, type Delivery, type Settlement } from "../domain/ports/Broker.ts"
import { PaymentStore, type StoreError, type StoreOutcome } from "../domain/ports/PaymentStore.ts"
import { inBatches } from "./Batches.ts"
import { logBatch, logDeadLetter } from "./PaymentLogs.ts"
import * as PaymentMetrics from "./PaymentMetrics.ts"
import { Shutdown, untilShutdown } from "./Shutdown.ts"
import { supervised } from "./Supervisor.ts"
import { withBatchSpan } from "./Tracing.ts"

export interface PaymentWorkerOptions {
  readonly queue: string
  /** Where dead letters go; `undefined` refuses them, so that the broker's own policy decides. */
  readonly deadLetterQueue: string | undefined
  /** Settle exactly so many, then end. */
  readonly maxMessages: number | undefined
  readonly maxMessageBytes: number
  /** End after the queue was empty for so long. */
  readonly idleTimeout: Duration.Duration | undefined
  readonly batchSize: number
  readonly batchWindow: Duration.Duration
  readonly batchesInFlight: number
  /** At least `batchSize × (batchesInFlight + 1)`: the next batch gathers while those before it are committed. */
  readonly prefetch: number
}

type Batch = ReadonlyArray<Delivery>

/** How one delivery ends. */
type Verdict =
  | { readonly _tag: "Stored" | "Duplicate" | "Returned" }
  | { readonly _tag: "DeadLetter"; readonly reason: DeadLetterReason; readonly error: string; readonly code?: string }

/** From 100 ms to 5 s, each ±20 %: quick after a hiccup, no load to speak of on a database that starts. */
const untilBack = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("5 seconds")]).pipe(
  Schedule.jittered
)

/** A report per settled batch; ends after `maxMessages`, when idle, or when asked to shut down. */
export const paymentWorker = (options: PaymentWorkerOptions) =>
  Stream.suspend(() => {
    // Beyond one run of the stream: after a restart only the rest is to be settled.
    let settledBefore = 0
    return Stream.unwrap(
      Effect.map(prepare(options), (broker) =>
        broker.deliveries({ _tag: "Queue", name: options.queue }, { prefetch: options.prefetch }).pipe(
          untilShutdown,
          untilIdle(options),
          Stream.take((options.maxMessages ?? Number.POSITIVE_INFINITY) - settledBefore),
          inBatches({ size: options.batchSize, window: options.batchWindow }),
          Stream.mapEffect((batch) => storeOrSetAside(options, batch), { concurrency: options.batchesInFlight }),
          Stream.mapEffect(settle),
          Stream.tap((report) =>
            Effect.sync(() => {
              settledBefore += BatchReport.settled(report)
            })
          )
        )
      )
    ).pipe(supervised(`payment worker ${options.queue}`))
  })

const prepare = Effect.fnUntraced(function* ({ queue, deadLetterQueue }: PaymentWorkerOptions) {
  const broker = yield* Broker
  const store = yield* PaymentStore
  yield* Metric.update(PaymentMetrics.inFlight, 0)
  const queues = [queue, deadLetterQueue].filter(Predicate.isNotUndefined)
  yield* Effect.all([store.prepare, Effect.forEach(queues, broker.ensureQueue)], { concurrency: "unbounded" })
  return broker
})

/** Ends the stream when nothing was delivered for `idleTimeout` and nothing waits. */
const untilIdle =
  ({ idleTimeout, queue }: PaymentWorkerOptions) =>
  <A, E, R>(self: Stream.Stream<A, E, R>) =>
    idleTimeout === undefined
      ? self
      : Stream.unwrap(
          Effect.map(Broker, (broker) =>
            Stream.transformPull(self, (pull) => {
              const next: typeof pull = Effect.flatMap(
                Effect.timeoutOption(pull, idleTimeout),
                Option.match({
                  onSome: Effect.succeed,
                  // A depth that cannot be told is no empty queue.
                  onNone: () =>
                    Effect.flatMap(Effect.option(broker.depth(queue)), (depth) =>
                      Option.contains(depth, 0) ? Cause.done() : Effect.suspend(() => next)
                    )
                })
              )
              return Effect.succeed(next)
            })
          )
        )

/** Everything that must be true before the batch may be acknowledged. */
const storeOrSetAside = Effect.fnUntraced(function* (options: PaymentWorkerOptions, batch: Batch) {
  yield* Metric.modify(PaymentMetrics.inFlight, batch.length)
  const verdicts = yield* PaymentMetrics.timed(judge(options, batch)).pipe(withBatchSpan(options.queue, batch))
  // Set aside before it is acknowledged: a crash between the two repeats the dead letter, the other order loses it.
  yield* setAside(options, batch, verdicts)
  return { batch, verdicts, rejectOutright: options.deadLetterQueue === undefined }
})

/** Decodes the batch and stores what can be stored; a verdict for each delivery, in order. */
const judge = Effect.fnUntraced(function* (options: PaymentWorkerOptions, batch: Batch) {
  const decoded = batch.map(({ body }) => decodePayload(body, options.maxMessageBytes))
  const payments = Arr.filterMap(decoded, (payload, index) =>
    Result.map(payload, (text) => ({ id: batch[index]?.id, payload: text }))
  )
  const outcomes = yield* storeUntilStopped(options.queue, payments)
  let next = 0
  return decoded.map(
    (payload): Verdict =>
      Result.isFailure(payload)
        ? { _tag: "DeadLetter", reason: payload.failure.reason, error: payload.failure.detail }
        : verdictOf(outcomes[next++])
  )
})

const verdictOf = (outcome: StoreOutcome | undefined): Verdict => {
  if (outcome === undefined) return { _tag: "Returned" }
  switch (outcome._tag) {
    case "Conflict":
      return { _tag: "DeadLetter", reason: "conflict", error: "the same message id is stored with another payload" }
    case "Rejected":
      return { _tag: "DeadLetter", reason: "rejected_by_database", error: outcome.detail, code: outcome.sqlState }
    default:
      return outcome
  }
}

/** Stores, however long the database is away; no outcomes if the worker is asked to stop meanwhile. */
const storeUntilStopped = Effect.fnUntraced(function* (
  queue: string,
  payments: ReadonlyArray<{ readonly id: string | undefined; readonly payload: string }>
): Effect.fn.Return<ReadonlyArray<StoreOutcome>, StoreError, PaymentStore | Shutdown> {
  if (payments.length === 0) return []
  const store = yield* PaymentStore
  const shutdown = yield* Shutdown
  const attempt = store.store(queue, payments)
  return yield* attempt.pipe(
    Effect.catchIf(
      (error) => error.isRetryable,
      () =>
        Effect.raceFirst(
          Effect.retry(Effect.delay(attempt, "100 millis"), {
            schedule: untilBack,
            while: (error) => error.isRetryable
          }),
          Effect.as(shutdown.requested, [])
        )
    )
  )
})

const setAside = Effect.fnUntraced(function* (
  options: PaymentWorkerOptions,
  batch: Batch,
  verdicts: ReadonlyArray<Verdict>
) {
  const broker = yield* Broker
  const time = DateTime.formatIso(DateTime.makeUnsafe(yield* Clock.currentTimeMillis))
  const queue = options.deadLetterQueue
  const letters = batch.flatMap((delivery, index) => {
    const verdict = verdicts[index]
    return verdict?._tag === "DeadLetter" ? [{ delivery, ...verdict }] : []
  })
  if (letters.length === 0) return
  if (queue !== undefined) {
    const messages = letters.map((letter) => deadLetter({ ...letter, queue, source: options.queue, time }))
    yield* broker.publish(messages).pipe(
      Effect.catchReason("BrokerError", "Unroutable", () =>
        Effect.andThen(broker.ensureQueue(queue), broker.publish(messages))
      ),
      Effect.retry({ schedule: untilBack, while: (error) => error.isRetryable })
    )
  }
  yield* Effect.forEach(letters, logDeadLetter, { discard: true })
})

const settle = Effect.fnUntraced(function* (judged: {
  readonly batch: Batch
  readonly verdicts: ReadonlyArray<Verdict>
  readonly rejectOutright: boolean
}) {
  const { batch, rejectOutright, verdicts } = judged
  const broker = yield* Broker
  yield* broker.settle(
    batch.map(
      (delivery, index): Settlement => ({
        delivery,
        outcome: outcomeOf(verdicts[index], rejectOutright)
      })
    )
  )
  const report = reportOf(verdicts)
  yield* PaymentMetrics.settled(batch, report)
  yield* logBatch(batch, report)
  return report
})

const outcomeOf = (verdict: Verdict | undefined, rejectOutright: boolean): Settlement["outcome"] =>
  verdict === undefined || verdict._tag === "Returned"
    ? "return"
    : verdict._tag === "DeadLetter" && rejectOutright
      ? "reject"
      : "done"

const reportOf = (verdicts: ReadonlyArray<Verdict>): BatchReport.BatchReport => {
  const count = (tag: Verdict["_tag"]) => verdicts.reduce((sum, verdict) => sum + (verdict._tag === tag ? 1 : 0), 0)
  return {
    stored: count("Stored"),
    duplicates: count("Duplicate"),
    deadLettered: count("DeadLetter"),
    returned: count("Returned")
  }
}
