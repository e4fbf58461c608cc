/** The product's layers on the servers of the tests, by way of the product's own settings. */
import { Effect, Layer, Redacted } from "effect"
import { inject } from "vitest"
import * as Environment from "../../src/layers/config/Environment.ts"
import * as Settings from "../../src/layers/config/Settings.ts"
import * as PostgresClient from "../../src/layers/postgres/PostgresClient.ts"
import * as PostgresPaymentStore from "../../src/layers/postgres/PostgresPaymentStore.ts"
import * as RabbitMqBroker from "../../src/layers/rabbitmq/RabbitMqBroker.ts"

const megabyte = 2 ** 20

/** RabbitMQ, at another address or with other limits where a test wants them. */
export const rabbitMq = ({
  url = inject("rabbitmqUrl"),
  queueType = "classic",
  maxBytesInFlight = 64 * megabyte
}: {
  readonly url?: string
  readonly queueType?: "classic" | "quorum"
  readonly maxBytesInFlight?: number
} = {}) =>
  Layer.unwrap(
    Effect.map(Settings.load(Settings.rabbitMqSettings, Environment.make({ RABBITMQ_URL: url })), (settings) =>
      RabbitMqBroker.layer({ ...settings, queueType, maxBytesInFlight })
    )
  )

export interface PostgresOptions {
  readonly prepare?: boolean
  readonly migrateOnStart?: boolean
}

/** A pool of connections to a database. */
export const postgresClient = (url: Redacted.Redacted, { prepare = true }: PostgresOptions = {}) =>
  Layer.unwrap(
    Effect.map(
      Settings.load(
        Settings.postgresSettings,
        Environment.make({ DATABASE_URL: Redacted.value(url), POSTGRES_PREPARE: String(prepare) })
      ),
      (settings) => PostgresClient.layer(settings, { maxConnections: 10 })
    )
  )

/** The payment store in a database, with its connections. */
export const postgresPaymentStore = (url: Redacted.Redacted, options: PostgresOptions = {}) =>
  PostgresPaymentStore.layer({
    address: new URL(Redacted.value(url)).host,
    migrateOnStart: options.migrateOnStart ?? true
  }).pipe(Layer.provideMerge(postgresClient(url, options)))
