/**
 * `--mode=demo`, which `npm start` runs: all parts of the product in one process, on the embedded services unless others
 * are asked for, and a simulator beside them. With `--count` it proves that nothing is lost or doubled, and that the
 * money recorded is the money charged; without, it goes on until Ctrl-C.
 */
import { Console, Context, Effect, Layer, type Option, Ref, Result } from "effect"
import * as BatchReport from "../domain/BatchReport.ts"
import { PaymentStore } from "../domain/ports/PaymentStore.ts"
import * as Settings from "../layers/config/Settings.ts"
import { EmbeddedPostgres } from "../layers/embedded/EmbeddedPostgres.ts"
import * as Ports from "../layers/process/Ports.ts"
import { api } from "./Api.ts"
import { consumers } from "./Consumers.ts"
import * as DemoRun from "./DemoRun.ts"
import { longRunning } from "./LongRunning.ts"
import { outbox } from "./Outbox.ts"
import * as Part from "./Part.ts"
import { commands } from "./PaymentCommands.ts"
import { newRun } from "./Publish.ts"
import type { Services } from "./Services.ts"
import { observedWorker } from "./Worker.ts"

export interface DemoOptions {
  readonly count: Option.Option<number>
}

/** Ours alone: whoever wants to look at the API is at this machine. */
const host = "127.0.0.1"

// The embedded services unless others are asked for by name; errors only, so that the live line can be read: declined
// cards and charges in doubt are a part of the show. What the sandbox leaves in doubt, it is never slow to settle.
const defaults = {
  BROKER: "embedded",
  DATABASE: "embedded",
  LOG_LEVEL: "error",
  API_HOST: host,
  PAYMENT_OVERDUE_SECONDS: "1",
  PAYMENT_SWEEP_SECONDS: "0.5",
  PAYMENT_RETRY_SECONDS: "0.2"
}

/** Whatever the environment says: no money moves here, the workers are those of the PIX system, on one broker. */
const always = { PAYMENT_GATEWAY: "sandbox", WORKERS: "", API_BROKERS: "" }

/** Where nobody has asked for a port, one that is taken is stepped over. */
const firstPorts = { PORT: 5000, HEALTH_PORT: 8081 }

const demoEnvironment = Effect.gen(function* () {
  const environment = yield* Settings.environment
  const isUnset = ([name]: readonly [string, unknown]) => environment.get(name) === undefined
  const kept = yield* Effect.forEach(Object.entries(firstPorts).filter(isUnset), ([name, first]) =>
    Effect.map(Ports.keepFrom(first, host), (port) => ({ ...port, name }))
  )
  const ports = Object.fromEntries(kept.map(({ name, port }) => [name, `${port}`]))
  const unset = Object.fromEntries(Object.entries(defaults).filter(isUnset))
  return {
    environment: Settings.override(environment, { ...unset, ...ports, ...always }),
    releasePorts: Effect.forEach(kept, ({ release }) => release, { discard: true })
  }
})

const settings = Settings.all({
  worker: Settings.workerSettings,
  database: Settings.database,
  broker: Settings.broker,
  api: Settings.apiSettings,
  health: Settings.healthSettings
})

type Given = typeof settings extends Settings.Group<infer A> ? A : never

/** How to look at what is stored. */
const addressOf = Effect.fnUntraced(function* ({ database }: Given, services: Services) {
  if (database !== "embedded") return `  the database at ${(yield* PaymentStore).address}`
  const server = Context.get(yield* Layer.build(services.server), EmbeddedPostgres)
  const { host, passwordFile, port, username } = server
  return `  PGPASSWORD=$(cat ${passwordFile}) psql -h ${host} -p ${port} -U ${username} ${server.database} -c 'SELECT * FROM payments ORDER BY id DESC LIMIT 5'`
})

const introduce = Effect.fnUntraced(function* (given: Given, services: Services) {
  const { api, health } = given
  const lines = [
    "A simulator sends payments through a queue into the table payments, and others (cards, PIX) through the HTTP API,",
    "the outbox and workers to a sandbox that takes no money: payment_intents, payment_events, pix_audit_log. Look at them with",
    yield* addressOf(given, services),
    `  http://localhost:${api.port}/docs`,
    ...(health.port === undefined ? [] : [`  http://localhost:${health.port}/metrics`]),
    "Ctrl-C stops."
  ]
  yield* Console.log(lines.join("\n"))
})

/** The simulator, as one more part: the last one, which opens when all others are about to run. */
const simulator = (options: DemoOptions, totals: DemoRun.Totals, releasePorts: Effect.Effect<void>) =>
  Part.make("demo", { broker: "queues", database: true }, settings, (given) =>
    Effect.succeed({
      maxConnections: 2,
      maxBytesInFlight: 0,
      introduction: {},
      open: Effect.fnUntraced(function* (services: Services) {
        const database = yield* Layer.build(services.paymentStore)
        yield* introduce(given, services)
        yield* releasePorts
        const { api, broker, worker } = given
        const traffic = { queue: worker.queue, api, broker, run: yield* newRun }
        const run = Effect.provideContext(DemoRun.run(traffic, options.count, totals), database)
        return { dependencies: [], run }
      })
    })
  )

const isEmbedded = (environment: Settings.Environment): boolean =>
  [Settings.broker, Settings.database].some((setting) => {
    const kind = setting.read(environment)
    return Result.isSuccess(kind) && kind.success === "embedded"
  })

/** Runs the demonstration. */
export const demo = Effect.fnUntraced(function* (options: DemoOptions) {
  const { environment, releasePorts } = yield* demoEnvironment
  const totals = yield* Ref.make(BatchReport.empty)
  const worker = observedWorker((report) => Ref.update(totals, (sum) => BatchReport.add(sum, report)))
  if (isEmbedded(environment)) yield* Console.log("starting the embedded PostgreSQL …")
  yield* longRunning({
    mode: "demo",
    parts: [
      worker,
      consumers({ module: undefined, names: [] }),
      outbox,
      commands,
      api,
      simulator(options, totals, releasePorts)
    ],
    environment
  })
}, Effect.scoped)
