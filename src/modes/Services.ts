/** The outside world that the settings ask for, as layers: a broker and a database. */
import { Effect, Layer, type Redacted, Result } from "effect"
import { Broker, type BrokerError } from "../domain/ports/Broker.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as EmbeddedPostgres from "../layers/embedded/EmbeddedPostgres.ts"
import * as PostgresAuditLog from "../layers/postgres/PostgresAuditLog.ts"
import * as PostgresClient from "../layers/postgres/PostgresClient.ts"
import * as PostgresCrashMarks from "../layers/postgres/PostgresCrashMarks.ts"
import * as PostgresDeletedRows from "../layers/postgres/PostgresDeletedRows.ts"
import * as PostgresFinishedInputs from "../layers/postgres/PostgresFinishedInputs.ts"
import * as PostgresIdempotencyKeys from "../layers/postgres/PostgresIdempotencyKeys.ts"
import * as PostgresJobHistory from "../layers/postgres/PostgresJobHistory.ts"
import * as PostgresOutbox from "../layers/postgres/PostgresOutbox.ts"
import * as PostgresPaymentIntents from "../layers/postgres/PostgresPaymentIntents.ts"
import * as PostgresPaymentStore from "../layers/postgres/PostgresPaymentStore.ts"
import * as PostgresReplayMarks from "../layers/postgres/PostgresReplayMarks.ts"
import * as PostgresReservations from "../layers/postgres/PostgresReservations.ts"
import * as PostgresWaitingMessages from "../layers/postgres/PostgresWaitingMessages.ts"
import * as PostgresWeeklyReports from "../layers/postgres/PostgresWeeklyReports.ts"
import * as PostgresWorkerRuns from "../layers/postgres/PostgresWorkerRuns.ts"
import * as SandboxGateway from "../layers/postgres/SandboxGateway.ts"
import type { StatementOptions } from "../layers/postgres/Statements.ts"
import * as RabbitMqBroker from "../layers/rabbitmq/RabbitMqBroker.ts"

/** What a mode needs to reach these brokers and the database; what an embedded one replaces is not asked for. */
export const serviceSettingsFor = (brokers: Settings.Group<ReadonlyArray<Settings.BrokerKind>>) =>
  Settings.all({
    process: Settings.processSettings,
    rabbitmq: Settings.onlyIf(brokers, (kinds) => kinds.includes("rabbitmq"), Settings.rabbitMqSettings),
    kafka: Settings.onlyIf(brokers, (kinds) => kinds.includes("kafka"), Settings.kafkaSettings),
    postgres: Settings.onlyWhere(Settings.database, "postgres", Settings.postgresSettings),
    redis: Settings.redisSettings,
    deadLettersRetention: Settings.onlyIf(brokers, (kinds) => kinds.includes("embedded"), Settings.deadLettersRetention)
  })

/** What a mode needs that has to do with the broker of `BROKER` alone. */
export const serviceSettings = serviceSettingsFor(Settings.refine(Settings.broker, (kind) => Result.succeed([kind])))

type ValueOf<G> = G extends Settings.Group<infer A> ? A : never
export type ServiceSettings = ValueOf<typeof serviceSettings>

/** What a command needs that asks nothing but the database. */
export const databaseOnly = serviceSettingsFor({ settings: [], read: () => Result.succeed([]) })

export interface BrokerOptions {
  /** Bodies that a consumer may have in hand, in bytes. */
  readonly maxBytesInFlight: number
}

export interface ServiceOptions extends BrokerOptions {
  /** Connections to the database. */
  readonly maxConnections: number
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

type EmbeddedServer = ReturnType<typeof EmbeddedPostgres.layer>
type EmbeddedServerError = EmbeddedServer extends Layer.Layer<infer _, infer E, infer _R> ? E : never

/** What each kind of broker is made of. */
export interface BrokerSettings {
  readonly rabbitmq: Settings.RabbitMqSettings
  readonly kafka: Settings.KafkaSettings
  /** The server that it is a part of. */
  readonly embedded: EmbeddedServer
}

type BrokerLayer = Layer.Layer<Broker, BrokerError | EmbeddedServerError>

// Two are loaded where they are asked for: their libraries cost every other start a good part of a tenth of a second.
const makers: {
  readonly [Kind in keyof BrokerSettings]: (settings: BrokerSettings[Kind], options: BrokerOptions) => BrokerLayer
} = {
  rabbitmq: (settings, options) => RabbitMqBroker.layer({ ...settings, ...options }),
  kafka: (settings, options) =>
    Layer.unwrap(
      Effect.map(
        Effect.promise(() => import("../layers/kafka/KafkaBroker.ts")),
        ({ layer }) => layer({ ...settings, ...options })
      )
    ),
  embedded: (server) => {
    const broker = Effect.map(
      Effect.promise(() => import("../layers/embedded/EmbeddedBroker.ts")),
      ({ layer }) => layer
    )
    return Layer.provide(Layer.unwrap(broker), server)
  }
}

/** In place of a broker that nobody asks for: its settings were not read. */
export const noBroker: BrokerLayer = Layer.mock(Broker, { kind: "none", address: "nowhere" })

/** A broker by its kind, whatever `BROKER` says: a process may have several. */
export const brokerOf = <Kind extends keyof BrokerSettings>(
  kind: Kind,
  settings: BrokerSettings[Kind],
  options: BrokerOptions
): BrokerLayer => makers[kind](settings, options)

// Loaded where it is asked for, as the makers of brokers are.
const redisIdempotencyKeys = (redis: Settings.RedisSettings) =>
  Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("../layers/redis/RedisIdempotencyKeys.ts")),
      ({ layer }) => layer(redis)
    )
  )

/** Who takes the money: the sandbox keeps its books in the database, and Stripe's library is loaded where it is used. */
const gatewayOf = (store: StatementOptions, settings: Settings.GatewaySettings) =>
  settings.kind === "sandbox"
    ? SandboxGateway.layer({ ...store, delay: settings.delay })
    : Layer.unwrap(
        Effect.map(
          Effect.promise(() => import("../layers/stripe/StripeGateway.ts")),
          ({ layer }) => layer(settings)
        )
      )

/** What a provider tells by itself, signed with one of these secrets; only Stripe does. */
export const chargeNotices = (secrets: ReadonlyArray<Redacted.Redacted>) =>
  Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("../layers/stripe/StripeWebhook.ts")),
      ({ layer }) => layer(secrets)
    )
  )

/** The services of a process, as layers. */
export type Services = ReturnType<typeof services>

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
  const { kafka, rabbitmq } = settings
  const brokers: Readonly<Record<Settings.BrokerKind, BrokerLayer>> = {
    rabbitmq: rabbitmq === undefined ? noBroker : brokerOf("rabbitmq", rabbitmq, options),
    kafka: kafka === undefined ? noBroker : brokerOf("kafka", kafka, options),
    embedded: brokerOf("embedded", server, options)
  }
  return {
    server,
    broker: brokers[settings.process.broker],
    /** Each of those that settings were read for, where a process needs several. */
    brokers,
    /** The store, and the pool that it uses. */
    paymentStore: Layer.provideMerge(PostgresPaymentStore.layer(store), client),
    /** Runs that count over several processes, on the same pool. */
    workerRuns: Layer.provide(PostgresWorkerRuns.layer(store), client),
    /** What topic workers are guarded by, and what ordered ones need; nothing connects before it is used. */
    workerStores: Layer.provide(
      Layer.mergeAll(
        PostgresFinishedInputs.layer(store),
        PostgresCrashMarks.layer(store),
        PostgresWaitingMessages.layer(store)
      ),
      client
    ),
    /** What was put back of the dead letters of a broker that removes none. */
    replayMarks: Layer.provide(PostgresReplayMarks.layer(store), client),
    auditLog: Layer.provide(PostgresAuditLog.layer(store), client),
    /** In Redis where there is one. */
    idempotencyKeys:
      settings.redis === undefined
        ? Layer.provide(PostgresIdempotencyKeys.layer(store), client)
        : redisIdempotencyKeys(settings.redis),
    /** The outbox, on the same pool. */
    outbox: Layer.provideMerge(PostgresOutbox.layer(store), client),
    /** Payments, on the same pool: their changes belong to the outbox's transactions. */
    paymentIntents: Layer.provide(PostgresPaymentIntents.layer(store), client),
    /** Jobs on a schedule, on the same pool. */
    jobHistory: Layer.provide(PostgresJobHistory.layer(store), client),
    deletedRows: Layer.provide(PostgresDeletedRows.layer(store), client),
    weeklyReports: Layer.provide(PostgresWeeklyReports.layer(store), client),
    reservations: Layer.provide(PostgresReservations.layer(store), client),
    /** Of what `gatewaySettings` say. */
    gateway: (gateway: Settings.GatewaySettings) => Layer.provide(gatewayOf(store, gateway), client)
  }
}
