/**
 * The outside world that the settings ask for, as layers: a broker and a database. What each is made of is loaded when it
 * is built: a process pays for none that it has no use for, neither at its start nor in memory.
 */
import { Effect, Layer, type Redacted, Result } from "effect"
import { Broker, type BrokerError } from "../domain/ports/Broker.ts"
import * as Settings from "../layers/config/Settings.ts"
import type * as EmbeddedPostgres from "../layers/embedded/EmbeddedPostgres.ts"
import type * as PostgresClient from "../layers/postgres/PostgresClient.ts"
import type { StatementOptions } from "../layers/postgres/Statements.ts"
import { loaded } from "./LoadedLayer.ts"

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

const postgresClient = (...given: Parameters<typeof PostgresClient.layer>) =>
  loaded(
    () => import("../layers/postgres/PostgresClient.ts"),
    ({ layer }) => layer(...given)
  )

const embeddedServer = (options: Parameters<typeof EmbeddedPostgres.layer>[0]): EmbeddedServer =>
  loaded(
    () => import("../layers/embedded/EmbeddedPostgres.ts"),
    ({ layer }) => layer(options)
  )

const embeddedClient = (maxConnections: number) =>
  loaded(
    () => import("../layers/embedded/EmbeddedPostgres.ts"),
    (module) => Layer.unwrap(Effect.map(module.EmbeddedPostgres, (server) => clientOf(server, maxConnections)))
  )

const clientOf = (server: typeof EmbeddedPostgres.EmbeddedPostgres.Service, maxConnections: number) => {
  const { database, host, password, port, username } = server
  const own = { ssl: false, applicationName: "paystream", prepare: true }
  const client = { host, port, database, username, password, ...own }
  return postgresClient({ client, address: `${host}:${port}/${database}` }, { maxConnections })
}

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

const makers: {
  readonly [Kind in keyof BrokerSettings]: (settings: BrokerSettings[Kind], options: BrokerOptions) => BrokerLayer
} = {
  rabbitmq: (settings, options) =>
    loaded(
      () => import("../layers/rabbitmq/RabbitMqBroker.ts"),
      ({ layer }) => layer({ ...settings, ...options })
    ),
  kafka: (settings, options) =>
    loaded(
      () => import("../layers/kafka/KafkaBroker.ts"),
      ({ layer }) => layer({ ...settings, ...options })
    ),
  embedded: (server) =>
    loaded(
      () => import("../layers/embedded/EmbeddedBroker.ts"),
      ({ layer }) => Layer.provide(layer, server)
    )
}

/** In place of a broker that nobody asks for: its settings were not read. */
export const noBroker: BrokerLayer = Layer.mock(Broker, { kind: "none", address: "nowhere" })

/** A broker by its kind, whatever `BROKER` says: a process may have several. */
export const brokerOf = <Kind extends keyof BrokerSettings>(
  kind: Kind,
  settings: BrokerSettings[Kind],
  options: BrokerOptions
): BrokerLayer => makers[kind](settings, options)

const redisIdempotencyKeys = (redis: Settings.RedisSettings) =>
  loaded(
    () => import("../layers/redis/RedisIdempotencyKeys.ts"),
    ({ layer }) => layer(redis)
  )

/** Who takes the money: the sandbox keeps its books in the database. */
const gatewayOf = (store: StatementOptions, settings: Settings.GatewaySettings) =>
  settings.kind === "sandbox"
    ? loaded(
        () => import("../layers/postgres/SandboxGateway.ts"),
        ({ layer }) => layer({ ...store, delay: settings.delay })
      )
    : loaded(
        () => import("../layers/stripe/StripeGateway.ts"),
        ({ layer }) => layer(settings)
      )

/** What a provider tells by itself, signed with one of these secrets; only Stripe does. */
export const chargeNotices = (secrets: ReadonlyArray<Redacted.Redacted>) =>
  loaded(
    () => import("../layers/stripe/StripeWebhook.ts"),
    ({ layer }) => layer(secrets)
  )

interface StoreModule<A, E, R> {
  readonly layer: (options: StatementOptions) => Layer.Layer<A, E, R>
}

/** Stores of one pool, each of its module. */
const storesOn =
  <P, F, Q>(client: Layer.Layer<P, F, Q>, store: StatementOptions) =>
  <A, E, R>(module: () => Promise<StoreModule<A, E, R>>) =>
    Layer.provide(
      loaded(module, ({ layer }) => layer(store)),
      client
    )

/** The services of a process, as layers. */
export type Services = ReturnType<typeof services>

/** The services; one embedded server serves both broker and database. */
export const services = (settings: ServiceSettings, options: ServiceOptions) => {
  const server = embeddedServer({ dataDirectory: settings.process.dataDirectory })
  const client =
    settings.postgres === undefined
      ? Layer.provide(embeddedClient(options.maxConnections), server)
      : postgresClient(settings.postgres, options)
  const store = {
    address: settings.postgres?.address ?? "the embedded server",
    migrateOnStart: settings.process.migrateOnStart
  }
  const on = storesOn(client, store)
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
    paymentStore: Layer.merge(
      on(() => import("../layers/postgres/PostgresPaymentStore.ts")),
      client
    ),
    /** Runs that count over several processes, on the same pool. */
    workerRuns: on(() => import("../layers/postgres/PostgresWorkerRuns.ts")),
    /** What topic workers are guarded by, and what ordered ones need; nothing connects before it is used. */
    workerStores: Layer.mergeAll(
      on(() => import("../layers/postgres/PostgresFinishedInputs.ts")),
      on(() => import("../layers/postgres/PostgresCrashMarks.ts")),
      on(() => import("../layers/postgres/PostgresWaitingMessages.ts"))
    ),
    /** What was put back of the dead letters of a broker that removes none. */
    replayMarks: on(() => import("../layers/postgres/PostgresReplayMarks.ts")),
    auditLog: on(() => import("../layers/postgres/PostgresAuditLog.ts")),
    /** In Redis where there is one. */
    idempotencyKeys:
      settings.redis === undefined
        ? on(() => import("../layers/postgres/PostgresIdempotencyKeys.ts"))
        : redisIdempotencyKeys(settings.redis),
    /** The outbox, on the same pool. */
    outbox: Layer.merge(
      on(() => import("../layers/postgres/PostgresOutbox.ts")),
      client
    ),
    /** Payments, on the same pool: their changes belong to the outbox's transactions. */
    paymentIntents: on(() => import("../layers/postgres/PostgresPaymentIntents.ts")),
    /** Jobs on a schedule, on the same pool. */
    jobHistory: on(() => import("../layers/postgres/PostgresJobHistory.ts")),
    deletedRows: on(() => import("../layers/postgres/PostgresDeletedRows.ts")),
    weeklyReports: on(() => import("../layers/postgres/PostgresWeeklyReports.ts")),
    reservations: on(() => import("../layers/postgres/PostgresReservations.ts")),
    /** Of what `gatewaySettings` say. */
    gateway: (gateway: Settings.GatewaySettings) => Layer.provide(gatewayOf(store, gateway), client)
  }
}
