/** `--mode=worker`: messages of a queue into the table `payments`, each before it is acknowledged. */
import { Effect, Metric, Schedule, Stream } from "effect"
import * as BatchReport from "../domain/BatchReport.ts"
import { Broker } from "../domain/ports/Broker.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as PaymentMetrics from "../streams/PaymentMetrics.ts"
import { paymentWorker } from "../streams/PaymentWorker.ts"
import * as Part from "./Part.ts"

/** One more than the batches in flight, so that a probe of readiness does not wait behind them. */
const spareConnections = 1

/** Keeps the gauge of waiting messages up to date; a broker that is away leaves it as it was. */
const watchDepth = (queue: string) =>
  Effect.gen(function* () {
    const broker = yield* Broker
    yield* broker.depth(queue).pipe(
      Effect.flatMap((depth) => Metric.update(PaymentMetrics.queueDepth, depth)),
      Effect.ignore,
      Effect.repeat(Schedule.spaced("15 seconds")),
      Effect.forkScoped
    )
  })

/** Told of every batch that was settled. */
type Observer = (report: BatchReport.BatchReport) => Effect.Effect<void>

const run = (options: Settings.WorkerSettings, observe: Observer) =>
  Effect.gen(function* () {
    yield* watchDepth(options.queue)
    const totals = yield* paymentWorker(options).pipe(
      Stream.tap(observe),
      Stream.runFold(() => BatchReport.empty, BatchReport.add)
    )
    yield* Effect.logInfo("done").pipe(Effect.annotateLogs({ ...totals }))
  })

/** Runs until `MAX_MESSAGES` are settled, the queue stays empty, or somebody asks to stop. */
export const observedWorker = (observe: Observer) =>
  Part.make("worker", { broker: "queues", database: true }, Settings.workerSettings, (options) =>
    Effect.succeed({
      maxConnections: options.batchesInFlight + spareConnections,
      maxBytesInFlight: options.maxBytesInFlight,
      introduction: { queue: options.queue, deadLetters: options.deadLetterQueue ?? "rejected" },
      open: () => Effect.map(Part.bothDependencies, (dependencies) => ({ dependencies, run: run(options, observe) }))
    })
  )

/** The same, with nobody who wants to know. */
export const worker = observedWorker(() => Effect.void)
