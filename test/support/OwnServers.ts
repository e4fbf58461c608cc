/** Servers that a test may stop, restart and freeze: nobody else uses them. */
import { randomUUID } from "node:crypto"
import { Context, Effect, Layer } from "effect"
import * as Stage from "./Stage.ts"
import * as Postgres from "./servers/Postgres.ts"
import * as RabbitMq from "./servers/RabbitMq.ts"
import type { ServerError } from "./servers/ServerError.ts"

/** RabbitMQ and PostgreSQL, for the tests of one file. */
export class OwnServers extends Context.Service<
  OwnServers,
  { readonly rabbitMq: RabbitMq.RabbitMqServer; readonly postgres: Postgres.PostgresServer }
>()("paystream/test/OwnServers") {
  static readonly layer: Layer.Layer<OwnServers, ServerError> = Layer.effect(
    OwnServers,
    Effect.all({ rabbitMq: RabbitMq.startOwn, postgres: Postgres.startOwn }, { concurrency: "unbounded" })
  )
}

/** A stage on them. */
export const stage = Effect.gen(function* () {
  const { postgres, rabbitMq } = yield* OwnServers
  const databaseUrl = yield* postgres.createDatabase(`test-${randomUUID()}`)
  return yield* Stage.on({ brokerUrl: rabbitMq.url, databaseUrl })
})
