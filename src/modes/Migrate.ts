/**
 * `--mode=migrate`: makes and upgrades the tables, and the topics of workers, then ends; with `--status` it only says
 * what is there. `--database` and `--topics` ask for one of the two.
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
import { modulePath, registered } from "./RegisteredWorkers.ts"
import { type ServiceSettings, serviceSettings, services } from "./Services.ts"
import { StoppedEarly } from "./StoppedEarly.ts"
import { makeTopics, statusOfTopics } from "./WorkerTopics.ts"

/** Topics need no database. */
const settingsFor = ({ database, topics }: MigrateOptions) =>
  Settings.all({
    services: topics && !database ? serviceSettings : Settings.withDatabase("migrate", serviceSettings),
    log: Settings.logSettings
  })

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

const statusOf = (workers: ReadonlyArray<Any>) =>
  Effect.map(statusOfTopics(workers), (all): Answer => {
    const lines = all.map(({ isThere, name }) => `${name}  ${isThere ? "there" : "missing"}`)
    return { json: { topics: all }, lines }
  })

const makeFor = (workers: ReadonlyArray<Any>) =>
  Effect.map(makeTopics(workers), (names): Answer => {
    const line = names.length === 0 ? "no topic to make: all are there" : `made: ${names.join(", ")}`
    return { json: { made: names }, lines: [line] }
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

const onTopics = Effect.fnUntraced(function* (where: ServiceSettings, options: MigrateOptions) {
  const path = yield* modulePath(options.module)
  // Elsewhere than on Kafka the workers make what they need when they start.
  if (path === undefined && !options.topics && where.process.broker !== "kafka") {
    yield* Console.error("the database only: --topics makes those of the PIX system, --workers (or WORKERS) a module's")
    return nothing
  }
  const { all, workers } = yield* registered(path, options.names)
  const { broker } = services(where, { maxConnections: 1, maxBytesInFlight: 0 })
  return yield* (options.status ? statusOf(workers) : makeFor(workers)).pipe(
    Effect.provideService(DeadLetterTopics, deadLetterTopicsOf(all)),
    Effect.provide(broker)
  )
})

/** As before there were topics, where there are none: a list of migrations. */
const jsonOf = ({ json }: Answer): unknown => (Object.keys(json).join() === "migrations" ? json.migrations : json)

/** Applies what is pending, or tells. */
export const migrate = Effect.fnUntraced(function* (options: MigrateOptions) {
  const environment = yield* Settings.environment
  const { log, services: where } = yield* Settings.load(settingsFor(options), environment)
  const work = Effect.gen(function* () {
    const database = options.topics && !options.database ? nothing : yield* onDatabase(where, options)
    const topics = options.database && !options.topics ? nothing : yield* onTopics(where, options)
    const answer = { json: { ...database.json, ...topics.json }, lines: [...database.lines, ...topics.lines] }
    if (options.json) yield* Console.log(JSON.stringify(jsonOf(answer)))
    else yield* Effect.forEach(answer.lines, (line) => Console.log(line), { discard: true })
  })
  yield* work.pipe(Effect.provide(Logs.besideAnswer(log)), Effect.raceFirst(stopped))
})
