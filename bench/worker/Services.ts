/** RabbitMQ and PostgreSQL for the measurements: our own with durable defaults, or those given by address. */
import { randomUUID } from "node:crypto"
import { PgClient } from "@effect/sql-pg"
import { type Channel, type ChannelModel, type ConfirmChannel, connect } from "amqplib"
import { Effect, Redacted } from "effect"
import { Client, escapeIdentifier } from "pg"
import { migrate } from "../../src/layers/postgres/Migrations.ts"
import * as PostgresServer from "../../test/support/servers/Postgres.ts"
import * as RabbitMqServer from "../../test/support/servers/RabbitMq.ts"
import { attempt } from "../BenchmarkError.ts"

export interface Services {
  readonly rabbitMqUrl: string
  readonly databaseUrl: string
  /** Without confirms: nothing is waited for when it publishes. */
  readonly channel: Channel
  readonly confirmed: ConfirmChannel
  readonly postgres: Client
  readonly versions: { readonly rabbitMq: string; readonly postgres: string }
}

const broker = (url: string) =>
  Effect.acquireRelease(
    attempt(`connect to ${url}`, () => connect(url, { noDelay: true })),
    (model) => Effect.ignore(attempt("disconnect", () => model.close()))
  )

/** A connection of its own. */
export const client = (url: string) =>
  Effect.acquireRelease(
    attempt(`connect to ${url}`, async () => {
      const client = new Client({ connectionString: url })
      await client.connect()
      return client
    }),
    (client) => Effect.ignore(attempt("disconnect", () => client.end()))
  )

/** A database of its own, so that a server given by address keeps its payments. */
const freshDatabase = Effect.fnUntraced(function* (server: PostgresServer.PostgresServer) {
  const name = `paystream_bench_${randomUUID().slice(0, 8)}`
  const drop = Effect.flatMap(client(server.url()), (administrator) =>
    attempt("drop the database", () => administrator.query(`DROP DATABASE ${escapeIdentifier(name)} WITH (FORCE)`))
  )
  const url = yield* Effect.acquireRelease(server.createDatabase(name), () => Effect.ignore(Effect.scoped(drop)))
  yield* migrate.pipe(Effect.provide(PgClient.layer({ url: Redacted.make(url) })))
  return url
})

/** A PostgreSQL with our tables, for whoever brings a broker of their own. */
export const database = Effect.gen(function* () {
  const url = yield* freshDatabase(yield* PostgresServer.start)
  const postgres = yield* client(url)
  const { rows } = yield* attempt("ask for the version", () => postgres.query("SHOW server_version"))
  return { url, postgres, version: String(rows[0].server_version) }
})

const versionOf = (model: ChannelModel) => String(model.connection.serverProperties.version)

/** Started side by side, and stopped with the scope. */
export const start = Effect.gen(function* () {
  const [rabbitMq, { postgres, url, version }] = yield* Effect.all([RabbitMqServer.start, database], { concurrency: 2 })
  const model = yield* broker(rabbitMq.url)
  const services: Services = {
    rabbitMqUrl: rabbitMq.url,
    databaseUrl: url,
    channel: yield* attempt("open a channel", () => model.createChannel()),
    confirmed: yield* attempt("open a channel", () => model.createConfirmChannel()),
    postgres,
    versions: { rabbitMq: versionOf(model), postgres: version }
  }
  return services
})
