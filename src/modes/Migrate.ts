/**
 * `--mode=migrate`: makes and upgrades the tables, and the topics of workers at every configured broker, then ends; with
 * `--status` it only says what is there. `--database` and `--topics` ask for one of the two.
 */
import { Console, Effect } from "effect"
import { deadLetterTopicsOf } from "../domain/Subscriptions.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as Migrations from "../layers/postgres/Migrations.ts"
import { asStoreError } from "../layers/postgres/SqlState.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import { Shutdown } from "../streams/Shutdown.ts"
import { DeadLetterTopics } from "../streams/TopicWorker.ts"
import type { Any } from "../streams/Worker.ts"
import { commandWorker, eventTopics } from "./PaymentTopics.ts"
import { modulePath, registered } from "./RegisteredWorkers.ts"
import { databaseOnly, type ServiceSettings, serviceSettingsFor, services } from "./Services.ts"
import { StoppedEarly } from "./StoppedEarly.ts"
import { makeTopics, statusOfTopics } from "./WorkerTopics.ts"

const onDatabaseOnly = ({ database, topics }: MigrateOptions) => database && !topics
const onTopicsOnly = ({ database, topics }: MigrateOptions) => topics && !database

/** Topics need no database, and the database needs no broker. */
const servicesFor = (options: MigrateOptions) => {
  const asked = onDatabaseOnly(options) ? databaseOnly : serviceSettingsFor(Settings.configuredBrokers)
  return onTopicsOnly(options) ? asked : Settings.withDatabase("migrate", asked)
}

const settingsFor = (options: MigrateOptions) =>
  Settings.all({ services: servicesFor(options), brokers: Settings.configuredBrokers, log: Settings.logSettings })

export interface MigrateOptions {
  readonly status: boolean
  readonly json: boolean
  /** Only the topics, or only the database; neither means both. */
  readonly topics: boolean
  readonly database: boolean
  /** The module that exports the workers, and those of them that count; none means all. */
  readonly module: string | undefined
  readonly names: ReadonlyArray<string>
}

/** What was done, for machines and for people. */
interface Answer {
  readonly json: Readonly<Record<string, unknown>>
  readonly lines: ReadonlyArray<string>
}

const nothing: Answer = { json: {}, lines: [] }

const statusOfDatabase = Effect.map(Migrations.status, (all): Answer => {
  const rows = all.map(({ appliedAt, name }) => ({ name, appliedAt: appliedAt?.toISOString() ?? null }))
  const lines = rows.map(({ appliedAt, name }) => `${name}  ${appliedAt ?? "missing"}`)
  return { json: { migrations: rows }, lines }
})

const migrateDatabase = Effect.map(Migrations.migrate, (names): Answer => {
  const line = names.length === 0 ? "nothing to migrate: the tables are up to date" : `migrated: ${names.join(", ")}`
  return { json: { applied: names }, lines: [line] }
})

/** Whose topics are wanted, and those that are only published to. */
interface Wanted {
  readonly workers: ReadonlyArray<Any>
  readonly published: ReadonlyArray<string>
}

/** A row for each topic or queue, with the broker that it is at. */
const statusAt = (broker: Settings.BrokerKind, { published, workers }: Wanted) =>
  Effect.map(statusOfTopics(workers, published), (all): Answer => {
    const lines = all.map(({ isThere, name }) => `${broker}  ${name}  ${isThere ? "there" : "missing"}`)
    return { json: { topics: all.map((one) => ({ broker, ...one })) }, lines }
  })

const makeAt = (broker: Settings.BrokerKind, { published, workers }: Wanted) =>
  Effect.map(makeTopics(workers, published), (names): Answer => {
    const line = names.length === 0 ? "no topic to make, all are there" : `made ${names.join(", ")}`
    return { json: { made: names.map((name) => ({ broker, name })) }, lines: [`${broker}: ${line}`] }
  })

/** One answer of several about the same things. */
const together = (answers: ReadonlyArray<Answer>): Answer => ({
  json: Object.fromEntries(
    Object.keys(answers[0]?.json ?? {}).map((name) => [name, answers.flatMap(({ json }) => json[name])])
  ),
  lines: answers.flatMap(({ lines }) => lines)
})

/** Fails as soon as stopping is asked for. */
const stopped = Effect.gen(function* () {
  yield* (yield* Shutdown).requested
  return yield* new StoppedEarly({ detail: "before the end; what was under way is rolled back" })
})

const onDatabase = (where: ServiceSettings, { status }: MigrateOptions) => {
  const { paymentStore } = services(where, { maxConnections: 1, maxBytesInFlight: 0 })
  const address = where.postgres?.address ?? "the embedded server"
  return Effect.mapError(status ? statusOfDatabase : migrateDatabase, asStoreError(address)).pipe(
    Effect.provide(paymentStore)
  )
}

/** Where topics are made: asked for, at each broker; unasked only where workers cannot make them when they start. */
const brokersFor = (path: string | undefined, brokers: ReadonlyArray<Settings.BrokerKind>, options: MigrateOptions) =>
  path !== undefined || options.topics ? brokers : brokers.filter((broker) => broker === "kafka")

const onTopics = Effect.fnUntraced(function* (
  where: ServiceSettings,
  configured: ReadonlyArray<Settings.BrokerKind>,
  options: MigrateOptions
) {
  const path = yield* modulePath(options.module)
  const kinds = brokersFor(path, configured, options)
  if (kinds.length === 0) {
    yield* Console.error("the database only: --topics makes those of the PIX system, --workers (or WORKERS) a module's")
    return nothing
  }
  const { all, workers } = yield* registered(path, options.names)
  const known = deadLetterTopicsOf(all)
  const { brokers } = services(where, { maxConnections: 1, maxBytesInFlight: 0 })
  // Ours are those of payments too; elsewhere than on Kafka they are made where they are first needed.
  const isOurs = path === undefined && options.names.length === 0
  const wantedAt = (kind: Settings.BrokerKind): Wanted =>
    isOurs && kind === "kafka"
      ? { workers: [...workers, commandWorker], published: eventTopics }
      : { workers, published: [] }
  const answers = yield* Effect.forEach(kinds, (kind) =>
    (options.status ? statusAt(kind, wantedAt(kind)) : makeAt(kind, wantedAt(kind))).pipe(
      Effect.provideService(DeadLetterTopics, known),
      Effect.provide(brokers[kind])
    )
  )
  return together(answers)
})

/** As before there were topics, where there are none: a list of migrations. */
const jsonOf = ({ json }: Answer): unknown => (Object.keys(json).join() === "migrations" ? json.migrations : json)

/** Applies what is pending, or tells. */
export const migrate = Effect.fnUntraced(function* (options: MigrateOptions) {
  const environment = yield* Settings.environment
  const { brokers, log, services: where } = yield* Settings.load(settingsFor(options), environment)
  const work = Effect.gen(function* () {
    const database = onTopicsOnly(options) ? nothing : yield* onDatabase(where, options)
    const topics = onDatabaseOnly(options) ? nothing : yield* onTopics(where, brokers, options)
    const answer = { json: { ...database.json, ...topics.json }, lines: [...database.lines, ...topics.lines] }
    if (options.json) yield* Console.log(JSON.stringify(jsonOf(answer)))
    else yield* Effect.forEach(answer.lines, (line) => Console.log(line), { discard: true })
  })
  yield* work.pipe(Effect.provide(Logs.besideAnswer(log)), Effect.raceFirst(stopped))
})
