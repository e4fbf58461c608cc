/** `--mode=worker`: messages of a queue into the table `payments`, each before it is acknowledged. */
import { Effect, Stream } from "effect"
import * as BatchReport from "../domain/BatchReport.ts"
import { Broker } from "../domain/ports/Broker.ts"
import { PaymentStore } from "../domain/ports/PaymentStore.ts"
import { WorkerRuns } from "../domain/ports/WorkerRuns.ts"
import type { RunShare } from "../domain/WorkerRun.ts"
import * as WorkerRun from "../domain/WorkerRun.ts"
import * as Settings from "../layers/config/Settings.ts"
import { enlargeYoungGeneration } from "../layers/process/Memory.ts"
import { type Facts, TerminationMessage } from "../layers/process/TerminationMessage.ts"
import * as PaymentMetrics from "../streams/PaymentMetrics.ts"
import { paymentWorker } from "../streams/PaymentWorker.ts"
import { besideRetention } from "../streams/Retention.ts"
import { untilStopped } from "../streams/UntilStopped.ts"
import { watchGauge } from "../streams/WatchedGauge.ts"
import * as Part from "./Part.ts"
import { StoppedEarly } from "./StoppedEarly.ts"

/** Beside the batches in flight, so that neither a probe of readiness nor the removal of old rows waits behind them. */
const spareConnections = 2

/** Told of every batch that was settled. */
type Observer = (report: BatchReport.BatchReport) => Effect.Effect<void>

const settings = Settings.all({
  worker: Settings.workerSettings,
  run: Settings.runSettings,
  terminationMessagePath: Settings.terminationMessagePath,
  age: Settings.paymentsRetention
})

type Given = typeof settings extends Settings.Group<infer A> ? A : never

/** What this process settles, whatever for. */
const settle = ({ age, worker }: Given, observe: Observer, share?: RunShare) =>
  Effect.gen(function* () {
    const { forget } = yield* PaymentStore
    yield* watchGauge(
      PaymentMetrics.queueDepth,
      Broker.use((broker) => broker.depth(worker.queue))
    )
    return yield* paymentWorker({ ...worker, share }).pipe(
      Stream.tap(observe),
      Stream.runFold(() => BatchReport.empty, BatchReport.add),
      besideRetention({ what: "payments", age, forget })
    )
  })

const tell = (facts: Facts) => TerminationMessage.use((message) => message.tell(facts))

const alone = (given: Given, observe: Observer) =>
  Effect.gen(function* () {
    const totals = yield* settle(given, observe)
    const { deadLettered, duplicates, stored } = totals
    yield* tell({ stored, duplicates, deadLettered })
    yield* Effect.logInfo("done").pipe(Effect.annotateLogs({ ...totals }))
  })

/** In a run a stop before its end is no success: whoever started the process has to start another. */
const inRun = (given: Given, id: string, observe: Observer) =>
  Effect.gen(function* () {
    const { maxMessages, queue } = given.worker
    const runs = yield* WorkerRuns
    const holder = yield* Effect.sync(() => crypto.randomUUID())
    const share: RunShare = { run: { id, queue, maxMessages }, holder, lease: given.run.lease }
    const before = yield* untilStopped(runs.renew(share))
    if (before?.isDone !== true) yield* settle(given, observe, share)
    const after = before?.isDone === true ? before : yield* untilStopped(runs.leave(share))
    if (after !== undefined) yield* tell({ run: id, done: after.isDone, ...after.totals })
    if (after?.isDone !== true) {
      const settled = after === undefined ? "an unknown number" : WorkerRun.counted(after.totals)
      const detail = `the run ${id} after ${settled} of ${maxMessages ?? "all"} messages`
      return yield* new StoppedEarly({ detail })
    }
    yield* Effect.annotateLogs(Effect.logInfo(before?.isDone === true ? "already done" : "done"), {
      run: id,
      ...after.totals
    })
  })

const run = (given: Given, observe: Observer) =>
  given.run.id === undefined ? alone(given, observe) : inRun(given, given.run.id, observe)

/** Runs until `MAX_MESSAGES` are settled, the queue stays empty, its run is done, or somebody asks to stop. */
export const observedWorker = (observe: Observer) =>
  Part.make("worker", { broker: "queues", database: true }, settings, (given) =>
    Effect.succeed({
      maxConnections: given.worker.batchesInFlight + spareConnections,
      maxBytesInFlight: given.worker.maxBytesInFlight,
      introduction: { queue: given.worker.queue, deadLetters: given.worker.deadLetterQueue ?? "rejected" },
      open: () =>
        Effect.gen(function* () {
          const { permitted } = yield* PaymentStore
          const dependencies = [
            ...(yield* Part.bothDependencies),
            { name: "table payments", isReady: Effect.isSuccess(permitted) }
          ]
          yield* Effect.sync(() => enlargeYoungGeneration(8))
          return { dependencies, run: run(given, observe) }
        })
    })
  )

/** The same, with nobody who wants to know. */
export const worker = observedWorker(() => Effect.void)
