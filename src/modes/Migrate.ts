/**
 * `--mode=migrate`: makes and upgrades the tables, and the topics of workers at every configured broker, then ends; with
 * `--status` it only says what is there. `--database` and `--topics` ask for one of the two.
 */
import { Console, Effect } from "effect"
import { deadLetterTopicsOf } from "../domain/Subscriptions.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as Migrations from "../layers/postgres/Migrations.ts"
import { asStoreError } from "../layers/postgres/SqlState.ts"
import { DeadLetterTopics } from "../streams/TopicWorker.ts"
import type { Any } from "../streams/Worker.ts"
import * as Answer from "./Answer.ts"
import { withServices } from "./CommandServices.ts"
import { commandWorker, eventTopics } from "./PaymentTopics.ts"
import { modulePath, registered } from "./RegisteredWorkers.ts"
import { databaseOnly, type ServiceSettings, type Services, serviceSettingsFor } from "./Services.ts"
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
interface Done {
  readonly json: Readonly<Record<string, unknown>>
  readonly lines: ReadonlyArray<string>
}

const nothing: Done = { json: {}, lines: [] }

const statusOfDatabase = Effect.map(Migrations.status, (all): Done => {
  const rows = all.map(({ appliedAt, name }) => ({ name, appliedAt: appliedAt?.toISOString() ?? null }))
  const lines = rows.map(({ appliedAt, name }) => `${name}  ${appliedAt ?? "missing"}`)
  return { json: { migrations: rows }, lines }
})

const migrateDatabase = Effect.map(Migrations.migrate, (names): Done => {
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
  Effect.map(statusOfTopics(workers, published), (all): Done => {
    const lines = all.map(({ isThere, name }) => `${broker}  ${name}  ${isThere ? "there" : "missing"}`)
    return { json: { topics: all.map((one) => ({ broker, ...one })) }, lines }
  })

const makeAt = (broker: Settings.BrokerKind, { published, workers }: Wanted) =>
  Effect.map(makeTopics(workers, published), (names): Done => {
    const line = names.length === 0 ? "no topic to make, all are there" : `made ${names.join(", ")}`
    return { json: { made: names.map((name) => ({ broker, name })) }, lines: [`${broker}: ${line}`] }
  })

/** One answer of several about the same things. */
const together = (answers: ReadonlyArray<Done>): Done => ({
  json: Object.fromEntries(
    Object.keys(answers[0]?.json ?? {}).map((name) => [name, answers.flatMap(({ json }) => json[name])])
  ),
  lines: answers.flatMap(({ lines }) => lines)
})

const onDatabase = ({ paymentStore }: Services, where: ServiceSettings, { status }: MigrateOptions) => {
  const address = where.postgres?.address ?? "the embedded server"
  return Effect.mapError(status ? statusOfDatabase : migrateDatabase, asStoreError(address)).pipe(
    Effect.provide(paymentStore)
  )
}

/** Where topics are made: asked for, at each broker; unasked only where workers cannot make them when they start. */
const brokersFor = (path: string | undefined, brokers: ReadonlyArray<Settings.BrokerKind>, options: MigrateOptions) =>
  path !== undefined || options.topics ? brokers : brokers.filter((broker) => broker === "kafka")

const onTopics = Effect.fnUntraced(function* (
  { brokers }: Services,
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

/** Applies what is pending, or tells. */
export const migrate = Effect.fnUntraced(function* (options: MigrateOptions) {
  yield* withServices(
    settingsFor(options),
    Effect.fnUntraced(function* (built, { brokers, services: where }) {
      const database = onTopicsOnly(options) ? nothing : yield* onDatabase(built, where, options)
      const topics = onDatabaseOnly(options) ? nothing : yield* onTopics(built, brokers, options)
      const lines = [...database.lines, ...topics.lines]
      yield* Answer.give(options.json, { ...database.json, ...topics.json }, lines.join("\n"))
    })
  )
})
