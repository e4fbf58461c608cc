/** The outside world that the settings ask for, as layers: a broker and a database. */
import { Effect, Layer, Result } from "effect"
import type { Broker, BrokerError } from "../domain/ports/Broker.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as EmbeddedPostgres from "../layers/embedded/EmbeddedPostgres.ts"
import * as PostgresClient from "../layers/postgres/PostgresClient.ts"
import * as PostgresCrashMarks from "../layers/postgres/PostgresCrashMarks.ts"
import * as PostgresFinishedInputs from "../layers/postgres/PostgresFinishedInputs.ts"
import * as PostgresPaymentStore from "../layers/postgres/PostgresPaymentStore.ts"
import * as RabbitMqBroker from "../layers/rabbitmq/RabbitMqBroker.ts"

/** What a mode needs to reach broker and database; what an embedded one replaces is not asked for. */
export const serviceSettings = Settings.all({
  process: Settings.processSettings,
  rabbitmq: Settings.onlyWhere(Settings.broker, "rabbitmq", Settings.rabbitMqSettings),
  kafka: Settings.onlyWhere(Settings.broker, "kafka", Settings.kafkaSettings),
  postgres: Settings.onlyWhere(Settings.database, "postgres", Settings.postgresSettings)
})

type ValueOf<G> = G extends Settings.Group<infer A> ? A : never
export type ServiceSettings = ValueOf<typeof serviceSettings>

/** The same for a mode that works with queues, which Kafka has none of. */
export const queueServiceSettings = (mode: string) =>
  Settings.refine(serviceSettings, (services) =>
    services.process.broker === "kafka"
      ? Result.fail([
          { name: "BROKER", got: '"kafka"', takes: `rabbitmq or embedded with --mode=${mode}: Kafka has no queues` }
        ])
      : Result.succeed(services)
  )

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

/** A broker by its kind, whatever `BROKER` says: a process may have several. */
export const brokerOf = <Kind extends keyof BrokerSettings>(
  kind: Kind,
  settings: BrokerSettings[Kind],
  options: BrokerOptions
): BrokerLayer => makers[kind](settings, options)

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
  const broker = () => {
    if (settings.rabbitmq !== undefined) return brokerOf("rabbitmq", settings.rabbitmq, options)
    if (settings.kafka !== undefined) return brokerOf("kafka", settings.kafka, options)
    return brokerOf("embedded", server, options)
  }
  return {
    server,
    broker: broker(),
    /** The store, and the pool that it uses. */
    paymentStore: Layer.provideMerge(PostgresPaymentStore.layer(store), client),
    /** What topic workers are guarded by; nothing connects before it is used. */
    workerStores: Layer.provide(
      Layer.merge(PostgresFinishedInputs.layer(store), PostgresCrashMarks.layer(store)),
      client
    )
  }
}
