/** The outside world that the settings ask for, as layers: a broker and a database. */
import { Effect, Layer, Result } from "effect"
import type { Broker } from "../domain/ports/Broker.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as EmbeddedPostgres from "../layers/embedded/EmbeddedPostgres.ts"
import * as PostgresAuditLog from "../layers/postgres/PostgresAuditLog.ts"
import * as PostgresClient from "../layers/postgres/PostgresClient.ts"
import * as PostgresCrashMarks from "../layers/postgres/PostgresCrashMarks.ts"
import * as PostgresFinishedInputs from "../layers/postgres/PostgresFinishedInputs.ts"
import * as PostgresIdempotencyKeys from "../layers/postgres/PostgresIdempotencyKeys.ts"
import * as PostgresPaymentStore from "../layers/postgres/PostgresPaymentStore.ts"
import * as PostgresWaitingMessages from "../layers/postgres/PostgresWaitingMessages.ts"
import * as RabbitMqBroker from "../layers/rabbitmq/RabbitMqBroker.ts"

/** What a mode needs to reach these brokers and the database; what an embedded one replaces is not asked for. */
export const serviceSettingsFor = (brokers: Settings.Group<ReadonlyArray<Settings.BrokerKind>>) =>
  Settings.all({
    process: Settings.processSettings,
    rabbitmq: Settings.onlyIf(brokers, (kinds) => kinds.includes("rabbitmq"), Settings.rabbitMqSettings),
    postgres: Settings.onlyWhere(Settings.database, "postgres", Settings.postgresSettings)
  })

/** What a mode needs that has to do with the broker of `BROKER` alone. */
export const serviceSettings = serviceSettingsFor(Settings.refine(Settings.broker, (kind) => Result.succeed([kind])))

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
  const embedded = Layer.provide(embeddedBroker, server)
  const brokers: Readonly<Record<Settings.BrokerKind, Layer.Layer<Broker, Layer.Error<typeof embedded>>>> = {
    // without settings nobody asks for it
    rabbitmq: settings.rabbitmq === undefined ? embedded : RabbitMqBroker.layer({ ...settings.rabbitmq, ...options }),
    embedded
  }
  return {
    server,
    broker: brokers[settings.process.broker],
    /** Each of those that settings were read for, where a process needs several. */
    brokers,
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
    ),
    auditLog: Layer.provide(PostgresAuditLog.layer(store), client),
    idempotencyKeys: Layer.provide(PostgresIdempotencyKeys.layer(store), client)
  }
}
