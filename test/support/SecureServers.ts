/** Servers that speak TLS, with a certificate of an authority that no runtime knows; and one that does not. */
import { randomUUID } from "node:crypto"
import { Context, Effect, Layer } from "effect"
import * as Queues from "./Queues.ts"
import * as Certificates from "./servers/Certificates.ts"
import * as Postgres from "./servers/Postgres.ts"
import * as RabbitMq from "./servers/RabbitMq.ts"
import type { ServerError } from "./servers/ServerError.ts"

/** RabbitMQ and PostgreSQL, for the tests of one file. */
export class SecureServers extends Context.Service<
  SecureServers,
  {
    readonly rabbitMq: RabbitMq.SecureRabbitMqServer
    readonly postgres: Postgres.PostgresServer
    readonly withoutTls: Postgres.PostgresServer
    /** By the authority of the servers, who are `localhost` and nobody else. */
    readonly certificates: Certificates.Certificates
    /** By another one. */
    readonly strange: Certificates.Certificates
  }
>()("paystream/test/SecureServers") {
  static readonly layer: Layer.Layer<SecureServers, ServerError> = Layer.effect(
    SecureServers,
    Effect.gen(function* () {
      const [certificates, strange] = [yield* Certificates.make("DNS:localhost"), yield* Certificates.make()]
      const servers = {
        rabbitMq: RabbitMq.startSecure(certificates),
        postgres: Postgres.startSecure(certificates),
        withoutTls: Postgres.startOwn
      }
      return { ...(yield* Effect.all(servers, { concurrency: "unbounded" })), certificates, strange }
    })
  )
}

/** A password that no message may show. */
export const secret = "hunter2"

/** A queue and a database of their own, and addresses of them that ask for TLS. */
export const stage = Effect.gen(function* () {
  const { postgres, rabbitMq } = yield* SecureServers
  const queue = `test-${randomUUID()}`
  const database = `test-${randomUUID()}`
  yield* Queues.declare(rabbitMq.url, queue)
  const databaseUrl = yield* postgres.createDatabase(database)
  return {
    queue,
    brokerUrl: rabbitMq.url,
    databaseUrl,
    amqps: (host: string, port = rabbitMq.tlsPort, user = "paystream", password = user) =>
      `amqps://${user}:${password}@${host}:${port}`,
    postgres: (host: string, parameters: string, port = postgres.port) =>
      `postgres://postgres:${secret}@${host}:${port}/${database}?${parameters}`
  }
})
