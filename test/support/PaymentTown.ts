/**
 * The whole payment service as processes on servers of their own, a payment provider behind a proxy, and the books of all
 * of them side by side. A town: everything may be killed, and the money has to be right in the evening.
 */
import { randomUUID } from "node:crypto"
import { assert } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { query } from "./Databases.ts"
import * as Ground from "./OutboxGround.ts"
import { OwnServers } from "./OwnServers.ts"
import * as Queues from "./Queues.ts"
import type { Child } from "./servers/Child.ts"
import { eventually } from "./servers/eventually.ts"
import { freePort } from "./servers/freePort.ts"
import * as PaymentProvider from "./servers/PaymentProvider.ts"
import * as Program from "./servers/Program.ts"
import * as Redis from "./servers/Redis.ts"
import type { ServerError } from "./servers/ServerError.ts"
import * as TcpProxy from "./servers/TcpProxy.ts"

/** RabbitMQ and PostgreSQL are beside them, in `OwnServers`. */
export class Provider extends Context.Service<
  Provider,
  {
    readonly redis: Redis.RedisServer
    readonly provider: PaymentProvider.PaymentProvider
    /** What stands between the provider and who pays by it. */
    readonly proxy: TcpProxy.TcpProxy
  }
>()("paystream/test/PaymentTown/Provider") {
  static readonly layer: Layer.Layer<Provider, ServerError> = Layer.effect(
    Provider,
    Effect.gen(function* () {
      const { provider, redis } = yield* Effect.all(
        { redis: Redis.startOwn, provider: PaymentProvider.start },
        { concurrency: "unbounded" }
      )
      return { redis, provider, proxy: yield* TcpProxy.start({ host: "127.0.0.1", port: provider.port }) }
    })
  )
}

export const servers = Layer.merge(OwnServers.layer, Provider.layer)

export const commandQueue = "payment.commands.process"

const parts = ["api", "outbox", "commands"] as const
export type PartName = (typeof parts)[number]

export interface Town {
  readonly ground: Ground.Ground
  /** Where payments are asked for; each API has one of these. */
  readonly ports: ReadonlyArray<number>
  /** The queue that every event of a payment comes to. */
  readonly events: string
  readonly env: Readonly<Record<string, string>>
}

/** An empty town: tables, an exchange, and a queue for what is told. */
export const make = Effect.gen(function* () {
  const { postgres, rabbitMq } = yield* OwnServers
  const { proxy, redis } = yield* Provider
  const databaseUrl = yield* postgres.createDatabase(`town-${randomUUID()}`)
  const exchange = `town-${randomUUID().slice(0, 8)}`
  const ground: Ground.Ground = { brokerUrl: rabbitMq.url, databaseUrl, exchange }
  yield* Ground.migrate(ground)
  const events = `${exchange}.events`
  yield* Queues.bind(ground.brokerUrl, { exchange, topic: "payment.events.#", queue: events })
  const env = {
    RABBITMQ_URL: ground.brokerUrl,
    RABBITMQ_EXCHANGE: exchange,
    DATABASE_URL: databaseUrl,
    REDIS_URL: redis.url,
    STRIPE_API_KEY: "sk_test_paystream",
    STRIPE_API_BASE: `http://127.0.0.1:${proxy.port}`,
    GATEWAY_TIMEOUT_SECONDS: "1",
    HEALTH_PORT: "0",
    API_BROKERS: "rabbitmq",
    PAYMENT_LEASE_SECONDS: "2",
    PAYMENT_RETRY_SECONDS: "0.2",
    PAYMENT_SWEEP_SECONDS: "0.5",
    PAYMENT_OVERDUE_SECONDS: "2",
    // for one that never gets on, and whose command was found in the midst of three crashes and set aside
    PAYMENT_GIVE_UP_AFTER: "30 seconds",
    OUTBOX_LEASE_SECONDS: "2",
    OUTBOX_POLL_SECONDS: "1",
    OUTBOX_RETRY_SECONDS: "0.2"
  }
  const town: Town = { ground, ports: [yield* freePort, yield* freePort], events, env }
  return town
})

/** Starts a part of the service; an API at one of the town's ports. */
export const start = (
  town: Town,
  part: PartName,
  runtime: Program.Runtime,
  env: Readonly<Record<string, string>> = {}
) =>
  Program.start({
    runtime,
    args: [`--mode=${part}`],
    env: { ...town.env, PORT: `${town.ports[0]}`, API_HOST: "127.0.0.1", ...env }
  })

/** Starts it, and waits until it has found the broker. */
export const startReady = (...given: Parameters<typeof start>) =>
  Effect.tap(start(...given), (child) => child.waitForLine(/connected to RabbitMQ/, { deadline: "60 seconds" }))

/** Asks it to stop: it has not failed before, and nothing holds it up. One that was started just now hears nothing yet. */
export const stop = Effect.fnUntraced(function* (child: Child) {
  yield* child.waitForLine(/starting/)
  yield* child.kill("SIGTERM")
  assert.strictEqual(yield* child.exit, 0, child.stderr.join("\n"))
})

export const kill = (child: Child) => Effect.andThen(child.kill("SIGKILL"), child.exit)

export interface Asked {
  readonly key: string
  readonly method: string
  /** Of the town's ports, the first unless told. */
  readonly port?: number | undefined
}

const request = async ({ ground, ports }: Town, { key, method, port }: Asked, signal: AbortSignal) => {
  const response = await fetch(`http://127.0.0.1:${port ?? ports[0]}/payments`, {
    method: "POST",
    // towns share a Redis
    headers: { "content-type": "application/json", "idempotency-key": `${ground.exchange}/${key}` },
    body: JSON.stringify({ amount: "10.50", currency: "BRL", paymentMethod: method }),
    signal: AbortSignal.any([signal, AbortSignal.timeout(30_000)])
  })
  const text = await response.text()
  assert.include([201, 202], response.status, text)
  return String(JSON.parse(text).id)
}

/** Asks for a payment, as a client does who wants it: under the same key until it is taken. Gives its id. */
export const ask = (town: Town, asked: Asked): Effect.Effect<string> =>
  eventually(
    Effect.promise((signal) => request(town, asked, signal)),
    { deadline: "120 seconds", every: "200 millis" }
  )

/** Asks for the money of a payment back, until it is taken. */
export const askRefund = (town: Town, id: string) =>
  eventually(
    Effect.promise(async (signal) => {
      const response = await fetch(`http://127.0.0.1:${town.ports[0]}/payments/${id}/refund`, {
        method: "POST",
        signal: AbortSignal.any([signal, AbortSignal.timeout(30_000)])
      })
      assert.include([200, 202], response.status, await response.text())
    }),
    { deadline: "120 seconds", every: "200 millis" }
  )

export const sql = <Row extends object>({ ground }: Town, statement: string) =>
  query<Row>(Redacted.make(ground.databaseUrl), statement)

/** Asked of a database that may be starting. */
const patient = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  eventually(effect, { deadline: "60 seconds", every: "50 millis" })

const ends = "('succeeded', 'failed', 'compensated')"

/** How many payments have not come to their end. */
export const unfinished = (town: Town) =>
  Effect.map(
    patient(
      sql<{ count: number }>(town, `SELECT count(*)::int AS count FROM payment_intents WHERE status NOT IN ${ends}`)
    ),
    ([row]) => row?.count ?? 0
  )

/** Some that have succeeded. */
export const succeeded = (town: Town, limit: number) =>
  Effect.map(
    patient(
      sql<{ id: string }>(
        town,
        `SELECT id::text FROM payment_intents WHERE status = 'succeeded' ORDER BY random() LIMIT ${limit}`
      )
    ),
    (rows) => rows.map(({ id }) => id)
  )

/** Puts commands into the queue a second time and in no order: as they were, and under ids of their own. */
export const repeatCommands = Effect.fnUntraced(function* (town: Town, limit: number) {
  const rows = yield* patient(
    sql<{ id: string; payload: Readonly<Record<string, unknown>> }>(
      town,
      `SELECT id::text, payload FROM outbox_events WHERE topic = '${commandQueue}' ORDER BY random() LIMIT ${limit}`
    )
  )
  const messages = rows.flatMap(({ id, payload }) => [
    { id: randomUUID(), body: JSON.stringify({ ...payload, commandId: randomUUID() }), headers: { version: "1" } },
    { id, body: JSON.stringify(payload), headers: { version: "1" } }
  ])
  yield* patient(Queues.publish(town.ground.brokerUrl, commandQueue, messages))
})
