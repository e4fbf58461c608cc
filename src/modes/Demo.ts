/**
 * `--mode=demo`, which `npm start` runs: simulator → embedded broker → payment worker → embedded PostgreSQL, in one
 * process. With `--count` it proves that nothing is lost or doubled; without, it goes on until Ctrl-C.
 */
import { Console, Effect, Fiber, Layer, Option, Ref, Schema, Stream } from "effect"
import { SqlClient } from "effect/sql"
import * as BatchReport from "../domain/BatchReport.ts"
import { Broker } from "../domain/ports/Broker.ts"
import * as Settings from "../layers/config/Settings.ts"
import { EmbeddedPostgres } from "../layers/embedded/EmbeddedPostgres.ts"
import * as Process from "../layers/process/Process.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import { paymentWorker } from "../streams/PaymentWorker.ts"
import { publishSamples, sampleBatches } from "../streams/SamplePublisher.ts"
import { Shutdown, untilShutdown } from "../streams/Shutdown.ts"
import { supervised } from "../streams/Supervisor.ts"
import { bar, type LiveLineOptions, liveLine } from "./LiveLine.ts"
import { newRun } from "./Publish.ts"
import { queueServiceSettings, type ServiceSettings, services } from "./Services.ts"
import { StoppedEarly } from "./StoppedEarly.ts"

const settings = Settings.all({
  services: queueServiceSettings("demo"),
  worker: Settings.workerSettings,
  log: Settings.logSettings
})

/** Ten ticks a second: enough to see it move, little enough to read. */
const paymentsPerTick = 2

export interface DemoOptions {
  readonly count: Option.Option<number>
}

/** Not every payment is in the table exactly once. */
export class NotExact extends Schema.TaggedError<NotExact>()("NotExact", {
  published: Schema.Int,
  rows: Schema.Int,
  distinct: Schema.Int
}) {
  override get message(): string {
    return `${this.published} published, but ${this.rows} rows of ${this.distinct} different payments are stored`
  }
}

// The embedded services unless others are asked for by name; warnings only, so that the live line can be read.
const defaults = { BROKER: "embedded", DATABASE: "embedded", LOG_LEVEL: "warn" }

const demoEnvironment = Effect.map(Settings.environment, (environment) => {
  const unset = Object.entries(defaults).filter(([name]) => environment.get(name) === undefined)
  return Settings.override(environment, Object.fromEntries(unset))
})

const introduce = (table: string) =>
  Console.log(`Payments go from a simulator through a queue into the table \`payments\`${table}. Ctrl-C stops.`)

const introduceEmbedded = Effect.gen(function* () {
  const { database, host, passwordFile, port, username } = yield* EmbeddedPostgres
  yield* introduce("")
  yield* Console.log("Look at them with")
  yield* Console.log(
    `  PGPASSWORD=$(cat ${passwordFile}) psql -h ${host} -p ${port} -U ${username} ${database} -c 'SELECT * FROM payments ORDER BY id DESC LIMIT 5'`
  )
})

const storedOf = Effect.fnUntraced(function* (run: string) {
  const sql = yield* SqlClient.SqlClient
  const [found] = yield* sql<{ rows: bigint; distinct: bigint }>`
    SELECT count(*) AS rows, count(DISTINCT message_id) AS distinct FROM payments WHERE message_id LIKE ${`${run}-%`}`
  return { rows: Number(found?.rows ?? 0), distinct: Number(found?.distinct ?? 0) }
})

/** One line about the totals; `count` is how many there will be, if that is known. */
const lineOfPayments = (count: Option.Option<number>): LiveLineOptions<BatchReport.BatchReport> => ({
  done: BatchReport.settled,
  lineOf: (totals, perSecond) => {
    const { deadLettered, duplicates, stored } = totals
    const received = BatchReport.settled(totals)
    const progress = Option.match(count, { onNone: () => "", onSome: (all) => bar(received / all) })
    return `${progress}${received} received, ${stored} stored, ${duplicates} duplicates, ${deadLettered} dead-lettered, ${perSecond}/s`
  }
})

type Totals = Ref.Ref<BatchReport.BatchReport>

/** So long without a message settled, and those that are missing will not come. */
const stalledAfter = 500
const pollInterval = "20 millis"

/** Publishes exactly `count`, and waits until all are stored, or nothing moves any more. */
const publishCounted = Effect.fnUntraced(function* (queue: string, run: string, count: number, totals: Totals) {
  const published = yield* sampleBatches({ queue, run }, count).pipe(
    untilShutdown,
    Stream.runFold(
      () => 0,
      (_, done) => done
    )
  )
  let settled = 0
  let unchanged = 0
  while (unchanged < stalledAfter) {
    const now = BatchReport.settled(yield* Ref.get(totals))
    unchanged = now === settled ? unchanged + 1 : 0
    settled = now
    // Messages of an earlier run may be among those settled: the table has the last word.
    if (settled >= published && (yield* storedOf(run)).distinct >= published) break
    yield* Effect.sleep(pollInterval)
  }
  return published
})

/** Publishes some ten times a second, for ever. */
const publishSteadily = (queue: string, run: string) =>
  Stream.tick("100 millis").pipe(
    Stream.zipWithIndex,
    untilShutdown,
    Stream.mapEffect(([, tick]) =>
      publishSamples({ queue, run }, tick * paymentsPerTick, (tick + 1) * paymentsPerTick)
    ),
    supervised("simulator"),
    Stream.runDrain,
    Effect.as(0)
  )

const verify = Effect.fnUntraced(function* (run: string, count: number, published: number) {
  if (published < count) return yield* new StoppedEarly({ detail: `after ${published} of ${count}` })
  const { distinct, rows } = yield* storedOf(run)
  if (rows !== count || distinct !== count) return yield* new NotExact({ published, rows, distinct })
  yield* Console.log(`${count} published, ${rows} stored: none lost, none doubled`)
})

const runDemo = Effect.fnUntraced(function* (worker: Settings.WorkerSettings, options: DemoOptions) {
  const shutdown = yield* Shutdown
  const broker = yield* Broker
  const run = yield* newRun
  yield* broker.ensureQueue(worker.queue)
  const totals = yield* Ref.make(BatchReport.empty)
  const storing = yield* paymentWorker(worker).pipe(
    Stream.runForEach((report) => Ref.update(totals, (sum) => BatchReport.add(sum, report))),
    Effect.forkScoped
  )
  const showing = yield* Effect.forkScoped(liveLine(Ref.get(totals), lineOfPayments(options.count)))
  const publishing = Option.match(options.count, {
    onNone: () => publishSteadily(worker.queue, run),
    onSome: (count) => publishCounted(worker.queue, run, count, totals)
  })
  // A worker that ends first has failed, or was asked to stop.
  const published = yield* Effect.raceAllFirst([publishing, Effect.as(Fiber.join(storing), 0)])
  yield* shutdown.request
  yield* Fiber.join(storing)
  yield* Fiber.interrupt(showing)
  if (Option.isSome(options.count)) yield* verify(run, options.count.value, published)
})

const usesEmbedded = ({ postgres, rabbitmq }: ServiceSettings): boolean =>
  postgres === undefined || rabbitmq === undefined

/** Runs the demonstration. */
export const demo = Effect.fnUntraced(function* (options: DemoOptions) {
  const environment = yield* demoEnvironment
  const { log, services: where, worker } = yield* Settings.load(settings, environment)
  const { broker, paymentStore, server } = services(where, {
    maxConnections: worker.batchesInFlight + 2,
    maxBytesInFlight: worker.maxBytesInFlight
  })
  if (usesEmbedded(where)) yield* Console.log("starting the embedded PostgreSQL …")
  const program = Effect.gen(function* () {
    yield* Process.withDeadline(where.process.shutdownTimeout)
    yield* runDemo(worker, options)
  })
  const introduction =
    where.postgres === undefined
      ? Layer.provide(Layer.effectDiscard(introduceEmbedded), server)
      : Layer.effectDiscard(introduce(` at ${where.postgres.address}`))
  // The embedded server is started by what needs it, if anything does.
  const world = introduction.pipe(
    Layer.provideMerge(broker),
    Layer.provideMerge(paymentStore),
    Layer.provideMerge(Logs.layer(log))
  )
  yield* Effect.provide(Effect.scoped(program), world)
})
