/** `--mode=worker`: messages of a queue into the table `payments`, each before it is acknowledged. */
import { Effect, Metric, Schedule, Stream } from "effect"
import * as BatchReport from "../domain/BatchReport.ts"
import { Broker } from "../domain/ports/Broker.ts"
import { PaymentStore } from "../domain/ports/PaymentStore.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as PaymentMetrics from "../streams/PaymentMetrics.ts"
import { paymentWorker } from "../streams/PaymentWorker.ts"
import { besideRetention } from "../streams/Retention.ts"
import * as Part from "./Part.ts"

/** Beside the batches in flight, so that neither a probe of readiness nor the removal of old rows waits behind them. */
const spareConnections = 2

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

const settings = Settings.all({ worker: Settings.workerSettings, age: Settings.paymentsRetention })

type Given = typeof settings extends Settings.Group<infer A> ? A : never

const run = ({ age, worker }: Given, observe: Observer) =>
  Effect.gen(function* () {
    const { forget } = yield* PaymentStore
    yield* watchDepth(worker.queue)
    const totals = yield* paymentWorker(worker).pipe(
      Stream.tap(observe),
      Stream.runFold(() => BatchReport.empty, BatchReport.add),
      besideRetention({ what: "payments", age, forget })
    )
    yield* Effect.logInfo("done").pipe(Effect.annotateLogs({ ...totals }))
  })

/** Runs until `MAX_MESSAGES` are settled, the queue stays empty, or somebody asks to stop. */
export const observedWorker = (observe: Observer) =>
  Part.make("worker", { broker: "queues", database: true }, settings, (given) =>
    Effect.succeed({
      maxConnections: given.worker.batchesInFlight + spareConnections,
      maxBytesInFlight: given.worker.maxBytesInFlight,
      introduction: { queue: given.worker.queue, deadLetters: given.worker.deadLetterQueue ?? "rejected" },
      open: () => Effect.map(Part.bothDependencies, (dependencies) => ({ dependencies, run: run(given, observe) }))
    })
  )

/** The same, with nobody who wants to know. */
export const worker = observedWorker(() => Effect.void)
