/** The outside world that the settings ask for, as layers: a broker and a database. */
import { Effect, Layer } from "effect"
import * as Settings from "../layers/config/Settings.ts"
import * as EmbeddedPostgres from "../layers/embedded/EmbeddedPostgres.ts"
import * as PostgresClient from "../layers/postgres/PostgresClient.ts"
import * as PostgresCrashMarks from "../layers/postgres/PostgresCrashMarks.ts"
import * as PostgresFinishedInputs from "../layers/postgres/PostgresFinishedInputs.ts"
import * as PostgresPaymentStore from "../layers/postgres/PostgresPaymentStore.ts"
import * as PostgresWaitingMessages from "../layers/postgres/PostgresWaitingMessages.ts"
import * as RabbitMqBroker from "../layers/rabbitmq/RabbitMqBroker.ts"

/** What a mode needs to reach broker and database; what an embedded one replaces is not asked for. */
export const serviceSettings = Settings.all({
  process: Settings.processSettings,
  rabbitmq: Settings.onlyWhere(Settings.broker, "rabbitmq", Settings.rabbitMqSettings),
  postgres: Settings.onlyWhere(Settings.database, "postgres", Settings.postgresSettings)
})

type ValueOf<G> = G extends Settings.Group<infer A> ? A : never
export type ServiceSettings = ValueOf<typeof serviceSettings>

export interface ServiceOptions {
  /** Connections to the database. */
  readonly maxConnections: number
  /** Bodies that a consumer may have in hand, in bytes. */
  readonly maxBytesInFlight: number
}

const embeddedClient = (maxConnections: number) =>
  Layer.unwrap(
    Effect.map(EmbeddedPostgres.EmbeddedPostgres, ({ database, host, password, port, username }) => {
      const client = {
        host,
        port,
        database,
        username,
        password,
        ssl: false,
        applicationName: "paystream",
        prepare: true
      }
      return PostgresClient.layer({ client, address: `${host}:${port}/${database}` }, { maxConnections })
    })
  )

// Loaded where it is asked for: its library costs every other start a good part of a tenth of a second.
const embeddedBroker = Layer.unwrap(
  Effect.map(
    Effect.promise(() => import("../layers/embedded/EmbeddedBroker.ts")),
    ({ layer }) => layer
  )
)

/** The services; one embedded server serves both broker and database. */
export const services = (settings: ServiceSettings, options: ServiceOptions) => {
  const server = EmbeddedPostgres.layer({ dataDirectory: settings.process.dataDirectory })
  const client =
    settings.postgres === undefined
      ? Layer.provide(embeddedClient(options.maxConnections), server)
      : PostgresClient.layer(settings.postgres, options)
  const store = {
    address: settings.postgres?.address ?? "the embedded server",
    migrateOnStart: settings.process.migrateOnStart
  }
  const broker =
    settings.rabbitmq === undefined
      ? Layer.provide(embeddedBroker, server)
      : RabbitMqBroker.layer({ ...settings.rabbitmq, ...options })
  return {
    server,
    broker,
    /** The store, and the pool that it uses. */
    paymentStore: Layer.provideMerge(PostgresPaymentStore.layer(store), client),
    /** What topic workers are guarded by, and what ordered ones need; nothing connects before it is used. */
    workerStores: Layer.provide(
      Layer.mergeAll(
        PostgresFinishedInputs.layer(store),
        PostgresCrashMarks.layer(store),
        PostgresWaitingMessages.layer(store)
      ),
      client
    )
  }
}
