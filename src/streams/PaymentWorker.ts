/**
 * The payment worker: deliveries → batches → stored → settled → reported.
 *
 * ## Guarantees
 * - A message is acknowledged only after its payment is committed, or its dead letter is confirmed.
 * - Batches are settled in the order in which they were taken, whatever order they are committed in.
 * - While the database or the broker is away, nothing is acknowledged, nothing is lost, and nothing is taken twice.
 *
 * ## Assumptions
 * - Messages without an id are stored at least once: a crash, or a channel lost, between commit and acknowledgement
 *   stores them again.
 */
import { Array as Arr, Clock, Deferred, type Duration, Effect, Metric, Predicate, Result, Stream } from "effect"
import { deadLetter } from "../domain/DeadLetter.ts"
import { isoOf } from "../domain/Instant.ts"
import { decodePayload } from "../domain/Payment.ts"
import { Broker, type BrokerError, type Delivery } from "../domain/ports/Broker.ts"
import { PaymentStore, type ReceivedPayment, type StoreOutcome } from "../domain/ports/PaymentStore.ts"
import { type RunMismatch, WorkerRuns } from "../domain/ports/WorkerRuns.ts"
import type { StoreError } from "../domain/StoreError.ts"
import * as Verdict from "../domain/Verdict.ts"
import type { RunShare } from "../domain/WorkerRun.ts"
import * as Availability from "./Availability.ts"
import { mapInBatches } from "./Batches.ts"
import { untilIdle } from "./Idle.ts"
import { logBatch, logDeadLetter } from "./PaymentLogs.ts"
import * as PaymentMetrics from "./PaymentMetrics.ts"
import { type PaymentProgress, progressTo } from "./PaymentProgress.ts"
import { turnsOf, withinShare } from "./RunTurns.ts"
import { type Shutdown, untilShutdown } from "./Shutdown.ts"
import { type StreamState, Supervisor, supervised } from "./Supervisor.ts"
import { withBatchSpan } from "./Tracing.ts"
import { untilStopped } from "./UntilStopped.ts"

export interface PaymentWorkerOptions {
  readonly queue: string
  /** Where dead letters go; `undefined` refuses them, so that the broker's own policy decides. */
  readonly deadLetterQueue: string | undefined
  /** Settle exactly so many, then end; with a share, the run's limit says so. */
  readonly maxMessages: number | undefined
  /** The part in a run that counts over several processes. */
  readonly share?: RunShare | undefined
  readonly maxMessageBytes: number
  /** End after the queue was empty for so long. */
  readonly idleTimeout: Duration.Duration | undefined
  readonly batchSize: number
  readonly batchWindow: Duration.Duration
  readonly batchesInFlight: number
  /** At least `batchSize × (batchesInFlight + 1)`: the next batch gathers while those before it are committed. */
  readonly prefetch: number
}

/** A report per settled batch; ends after `maxMessages`, when idle, when its run is done, or when asked to shut down. */
export const paymentWorker = (options: PaymentWorkerOptions) =>
  Stream.suspend(() => {
    const worker: Running = { ...options, deadLetters: watchDeadLetters(options), permitted: permittedOnce() }
    const { share } = options
    const all = share === undefined ? alone(worker) : inRun(worker, share)
    return all.pipe(supervised(`payment worker ${options.queue}`))
  })

/** As many as this process may settle by itself. */
const alone = (worker: Running) => {
  const progress = progressTo(worker.maxMessages)
  return Stream.suspend(() => {
    const left = progress.left()
    return settledBatches(worker, { progress, left, onlyThose: Stream.take(left), isNobodyBusy: Effect.succeed(true) })
  })
}

/** As many as are left in the run: in turns, since another process may leave some for this one. */
const inRun = (worker: Running, share: RunShare) =>
  turnsOf(share).pipe(
    Stream.flatMap((left) => {
      const progress = progressTo(left)
      const onlyThose = withinShare<Delivery>(share, { left, isLost: progress.hasReturned })
      const isNobodyBusy = WorkerRuns.use((runs) => runs.idle(share))
      return settledBatches(worker, { progress, left, onlyThose, isNobodyBusy })
    })
  )

/** What one pass over the queue may take. */
interface Turn<R> {
  readonly progress: PaymentProgress
  readonly left: number
  readonly onlyThose: <E, R2>(
    self: Stream.Stream<Delivery, E, R2>
  ) => Stream.Stream<Delivery, E | StoreError | RunMismatch, R | R2 | Shutdown>
  /** Asked when there is nothing to do here. */
  readonly isNobodyBusy: Effect.Effect<boolean, StoreError, R>
}

const settledBatches = <R>(worker: Running, { isNobodyBusy, left, onlyThose, progress }: Turn<R>) =>
  Stream.unwrap(
    Effect.map(Deferred.make<never, BrokerError | StoreError>(), (lost) =>
      deliveries(worker, left).pipe(
        Stream.tapError((error) => Deferred.fail(lost, error)),
        untilShutdown,
        untilIdle(worker.idleTimeout, nothingToDo(worker, progress, isNobodyBusy)),
        onlyThose,
        Stream.mapArray(progress.taken),
        // What is in hand when deliveries fail can no longer be settled, and comes again: to store it now would be once
        // too often for a message without an id.
        mapInBatches(batching(worker), (batch) =>
          Effect.raceFirst(storeOrSetAside(worker, batch), Deferred.await(lost))
        ),
        Stream.mapEffect(settle),
        Stream.tap(progress.settled)
      )
    )
  )

type Batch = ReadonlyArray<Delivery>

interface Running extends PaymentWorkerOptions {
  readonly deadLetters: Availability.AvailabilityLog
  /** What has to be so at the start. */
  readonly permitted: Effect.Effect<void, StoreError, PaymentStore>
}

/** Asked at the start alone: a right that is taken away later blames nobody and may come back, as a database does. */
const permittedOnce = (): Running["permitted"] => {
  let isPermitted = false
  const ask = PaymentStore.use(({ permitted }) => permitted)
  const keep = Effect.sync(() => {
    isPermitted = true
  })
  return Effect.suspend(() => (isPermitted ? Effect.void : Effect.andThen(ask, keep)))
}

// A queue that takes no dead letter (full, refused) stops the worker at its order: that must be said.
const watchDeadLetters = ({ deadLetterQueue, queue }: PaymentWorkerOptions) =>
  Availability.make("the dead-letter queue", deadLetterQueue ?? queue)

/** The queue's deliveries, once database and queues are ready; never more of them in hand than are wanted. */
const deliveries = ({ deadLetterQueue, permitted, prefetch, queue }: Running, wanted: number) =>
  Stream.unwrap(
    Effect.gen(function* () {
      const broker = yield* Broker
      const store = yield* PaymentStore
      yield* Metric.update(PaymentMetrics.inFlight, 0)
      const queues = [queue, deadLetterQueue].filter(Predicate.isNotUndefined)
      yield* Effect.all([Effect.andThen(store.prepare, permitted), Effect.forEach(queues, broker.ensureQueue)], {
        concurrency: "unbounded"
      })
      return broker.deliveries({ _tag: "Queue", name: queue }, { prefetch: Math.min(prefetch, wanted) })
    })
  )

const batching = (options: PaymentWorkerOptions) => ({
  size: options.batchSize,
  window: options.batchWindow,
  concurrency: options.batchesInFlight
})

// A worker that has something in hand is not idle, however long the database is away.
const nothingToDo = <E, R>(
  { queue }: PaymentWorkerOptions,
  progress: PaymentProgress,
  isNobodyBusy: Effect.Effect<boolean, E, R>
) =>
  Effect.flatMap(Broker, (broker) =>
    Effect.flatMap(broker.depth(queue), (depth) =>
      depth === 0 && progress.hasNothingInHand() ? isNobodyBusy : Effect.succeed(false)
    )
  )

/** Everything that must be true before the batch may be acknowledged. */
const storeOrSetAside = Effect.fnUntraced(function* (worker: Running, batch: Batch) {
  yield* Metric.modify(PaymentMetrics.inFlight, batch.length)
  const source = { system: (yield* Broker).kind, destination: worker.queue }
  const verdicts = yield* PaymentMetrics.timed(judge(worker, batch)).pipe(withBatchSpan(source, batch))
  // Set aside before it is acknowledged: a crash between the two repeats the dead letter, the other order loses it.
  const final = yield* setAside(worker, batch, verdicts)
  const setsAside = worker.deadLetterQueue !== undefined
  return Arr.zipWith(batch, final, (delivery, verdict) => ({
    delivery,
    verdict,
    outcome: Verdict.settlementOf(verdict, { setAside: setsAside })
  }))
})

/** Decodes the batch and stores what can be stored; a verdict for each delivery, in order. */
const judge = Effect.fnUntraced(function* (worker: PaymentWorkerOptions, batch: Batch) {
  const payloads = batch.map(({ body }) => decodePayload(body, worker.maxMessageBytes))
  const receive = worker.share === undefined ? received : receivedInRun
  const payments = Arr.filterMap(payloads, (payload, index) =>
    Result.map(payload, (text) => receive(text, batch[index]))
  )
  return Verdict.verdicts(payloads, yield* storeUntilStopped(worker, payments))
})

const received = (payload: string, delivery: Delivery | undefined): ReceivedPayment => ({ id: delivery?.id, payload })
const receivedInRun: typeof received = (payload, delivery) => ({
  ...received(payload, delivery),
  cameAgain: delivery !== undefined && delivery.attempt > 1
})

/** Stores, however long the database is away; what is not decided when the worker is asked to stop has no outcome. */
const storeUntilStopped = (
  worker: PaymentWorkerOptions,
  payments: ReadonlyArray<ReceivedPayment>
): Effect.Effect<ReadonlyArray<StoreOutcome | undefined>, StoreError, PaymentStore | Shutdown> =>
  Effect.gen(function* () {
    if (payments.length === 0) return []
    const { queue, share } = worker
    const store = yield* PaymentStore
    // What failed may have been committed all the same: a run must not count it twice.
    const again = share === undefined ? payments : payments.map((payment) => ({ ...payment, cameAgain: true }))
    const storing = (batch: typeof payments) => Effect.suspend(() => store.store(queue, batch, share))
    const outcomes = (yield* untilStopped(storing(payments), { again: storing(again) })) ?? []
    const isUndecided = (_: ReceivedPayment, index: number) => outcomes[index]?._tag === "Undecided"
    const open = again.filter(isUndecided)
    if (open.length === 0) return outcomes
    const rest = yield* Effect.delay(storeUntilStopped(worker, open), "100 millis")
    let next = 0
    return outcomes.map((outcome) => (outcome?._tag === "Undecided" ? rest[next++] : outcome))
  })

type Letter = Extract<Verdict.Verdict, { readonly _tag: "DeadLetter" }> & { readonly delivery: Delivery }

/**
 * Publishes the dead letters of a batch and waits for their confirms, however long that cannot be done; asked to stop
 * meanwhile, gives them back. The verdicts that hold then.
 */
const setAside = Effect.fnUntraced(function* (worker: Running, batch: Batch, verdicts: ReadonlyArray<Verdict.Verdict>) {
  const letters = Arr.filterMap(batch, (delivery, index) => {
    const verdict = verdicts[index]
    return verdict?._tag === "DeadLetter" ? Result.succeed({ delivery, ...verdict }) : Result.failVoid
  })
  if (letters.length === 0) return verdicts
  const published = yield* untilStopped(Effect.as(publishLetters(worker, letters), true))
  if (published === undefined) return verdicts.map(Verdict.unlessDeadLetter)
  yield* Effect.forEach(letters, logDeadLetter, { discard: true })
  return (yield* countLetters(worker, letters.length)) ? verdicts : verdicts.map(Verdict.unlessDeadLetter)
})

/**
 * In a run, counts dead letters that are published, before they are acknowledged. A crash before the count publishes
 * them again, one after it counts them again too: then the run ends with fewer messages taken than it might have, and
 * what is left waits in the queue. Counting after the acknowledgement could take more than the run may.
 */
const countLetters = Effect.fnUntraced(function* ({ share }: Running, count: number) {
  if (share === undefined) return true
  const runs = yield* WorkerRuns
  return (yield* untilStopped(runs.countDeadLetters(share, count))) ?? false
})

const publishLetters = Effect.fnUntraced(function* (worker: Running, letters: ReadonlyArray<Letter>) {
  const { deadLetterQueue: queue, deadLetters } = worker
  if (queue === undefined) return
  const time = isoOf(yield* Clock.currentTimeMillis)
  const messages = letters.map((letter) => deadLetter({ ...letter, queue, source: worker.queue, time }))
  const broker = yield* Broker
  const supervisor = yield* Supervisor
  const report = (state: StreamState) => supervisor.report(`dead letters to ${queue}`, state)
  yield* broker.publish(messages).pipe(
    Effect.catchReason("BrokerError", "Unroutable", () =>
      Effect.andThen(broker.ensureQueue(queue), broker.publish(messages))
    ),
    Effect.tap(Effect.andThen(deadLetters.connected, report("running"))),
    Effect.tapError((error) => Effect.andThen(deadLetters.away(error.message), report("failing")))
  )
})

const settle = Effect.fnUntraced(function* (judged: Effect.Success<ReturnType<typeof storeOrSetAside>>) {
  const broker = yield* Broker
  yield* broker.settle(judged)
  const batch = judged.map(({ delivery }) => delivery)
  const report = Verdict.count(judged.map(({ verdict }) => verdict))
  yield* PaymentMetrics.settled(batch, report)
  yield* logBatch(batch, report)
  return report
})
