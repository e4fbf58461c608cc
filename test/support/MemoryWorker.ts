/** The payment worker on memory layers, as tests of the streams run it. */
import { Duration, Effect, Fiber, Layer, Logger, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as BatchReport from "../../src/domain/BatchReport.ts"
import * as MemoryBroker from "../../src/layers/memory/MemoryBroker.ts"
import * as MemoryPaymentStore from "../../src/layers/memory/MemoryPaymentStore.ts"
import { type PaymentWorkerOptions, paymentWorker } from "../../src/streams/PaymentWorker.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import { Supervisor } from "../../src/streams/Supervisor.ts"

/** An empty broker and an empty store. */
export const ports = Layer.mergeAll(MemoryBroker.layer, MemoryPaymentStore.layer)

/** What every process has; dead letters are logged, and tests are to be read. */
export const process = Layer.mergeAll(Shutdown.layer, Supervisor.layer, Logger.layer([]))

export const queue = "payments"
export const deadLetterQueue = "payments.dlq"

/** Ends when the queue is empty. */
export const options: PaymentWorkerOptions = {
  queue,
  deadLetterQueue,
  maxMessages: undefined,
  maxMessageBytes: 1000,
  idleTimeout: Duration.seconds(1),
  batchSize: 4,
  batchWindow: Duration.zero,
  batchesInFlight: 2,
  prefetch: 12
}

/** Lets the clock run until a fiber ends; 10,000 turns without an end are a failure. */
export const runClockUntil = <A, E>(fiber: Fiber.Fiber<A, E>): Effect.Effect<A, E> =>
  Effect.gen(function* () {
    for (let turn = 0; fiber.pollUnsafe() === undefined && turn < 10_000; turn++) yield* TestClock.adjust("1 second")
    if (fiber.pollUnsafe() === undefined) return yield* Effect.die("the fiber does not end")
    return yield* Fiber.join(fiber)
  })

/** Runs the worker to its end, adding a report to `reports` for each batch. */
export const runWorker = (changes: Partial<PaymentWorkerOptions> = {}, reports: Array<BatchReport.BatchReport> = []) =>
  Stream.runForEach(paymentWorker({ ...options, ...changes }), (report) => Effect.sync(() => void reports.push(report)))

/** The same to its end on the test's clock, with the sum of its reports. */
export const drain = (changes: Partial<PaymentWorkerOptions> = {}) =>
  Effect.gen(function* () {
    const reports: Array<BatchReport.BatchReport> = []
    yield* runClockUntil(yield* Effect.forkChild(runWorker(changes, reports)))
    return sum(reports)
  })

/** Batches added up. */
export const sum = (reports: ReadonlyArray<BatchReport.BatchReport>): BatchReport.BatchReport =>
  reports.reduce(BatchReport.add, BatchReport.empty)
