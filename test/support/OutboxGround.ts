/** Where relays play as processes: a database with writers, an exchange with a queue that keeps all, and what has come. */
import { randomUUID } from "node:crypto"
import { assert } from "@effect/vitest"
import { connect } from "amqplib"
import { Effect, Fiber, Redacted } from "effect"
import { Client } from "pg"
import { query } from "./Databases.ts"
import * as Queues from "./Queues.ts"
import type * as Stage from "./Stage.ts"
import { eventually, realSleep } from "./servers/eventually.ts"
import * as Program from "./servers/Program.ts"

export interface Ground extends Stage.Ground {
  readonly exchange: string
}

/** Makes the tables. */
export const migrate = (ground: Ground) =>
  Effect.gen(function* () {
    const program = yield* Program.start({
      runtime: "bun",
      args: ["--mode=migrate"],
      env: { DATABASE_URL: ground.databaseUrl, HEALTH_PORT: "0" }
    })
    assert.strictEqual(yield* program.exit, 0, program.stderr.join("\n"))
  }).pipe(Effect.scoped)

/** An exchange of its own, and a database with its tables. */
export const make = Effect.fnUntraced(function* (brokerUrl: string, databaseUrl: string) {
  const ground: Ground = { brokerUrl, databaseUrl, exchange: `outbox-${randomUUID().slice(0, 8)}` }
  yield* migrate(ground)
  return ground
})

/** A relay; quick to take over and to try again unless told. */
export const startRelay = (ground: Ground, runtime: Program.Runtime, env: Readonly<Record<string, string>> = {}) =>
  Program.start({
    runtime,
    args: ["--mode=outbox"],
    env: {
      RABBITMQ_URL: ground.brokerUrl,
      RABBITMQ_EXCHANGE: ground.exchange,
      DATABASE_URL: ground.databaseUrl,
      HEALTH_PORT: "0",
      OUTBOX_LEASE_SECONDS: "2",
      OUTBOX_POLL_SECONDS: "1",
      OUTBOX_RETRY_SECONDS: "0.2",
      ...env
    }
  })

/** Runs a command of `outbox`. */
export const command = (ground: Ground, ...args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const program = yield* Program.start({
      runtime: "bun",
      args: ["outbox", ...args],
      env: { DATABASE_URL: ground.databaseUrl, RABBITMQ_URL: ground.brokerUrl }
    })
    const code = yield* program.exit
    return { code, stdout: program.stdout.join("\n"), stderr: program.stderr.join("\n") }
  }).pipe(Effect.scoped)

/** A queue that gets every event of the exchange. */
export const keepAll = (ground: Ground) => {
  const queue = `${ground.exchange}.all`
  return Effect.promise(async () => {
    const connection = await connect(ground.brokerUrl)
    const channel = await connection.createChannel()
    await channel.assertExchange(ground.exchange, "topic", { durable: true })
    await channel.assertQueue(queue, { durable: true })
    await channel.bindQueue(queue, ground.exchange, "#")
    await connection.close()
    return queue
  })
}

export const sql = (ground: Ground, statement: string, parameters?: ReadonlyArray<unknown>) =>
  query<Record<string, unknown>>(Redacted.make(ground.databaseUrl), statement, parameters)

/** Waits until nothing waits. */
export const waitUntilPublished = (ground: Ground) =>
  eventually(
    Effect.map(
      sql(
        ground,
        "SELECT count(*)::int AS count, min(id::text) AS first FROM outbox_events WHERE published_at IS NULL"
      ),
      ([row]) => assert.strictEqual(row?.count, 0, `left, the first of them ${row?.first}`)
    ),
    { deadline: "60 seconds", every: "100 millis" }
  )

export interface Writer {
  /** Committed events of each key, by their running number. */
  readonly committed: ReadonlyMap<string, number>
  readonly count: () => number
  readonly stop: Effect.Effect<void>
}

const keys = 20

/**
 * Writes events all the time, as any program does it: transaction after transaction, each with the next numbers of some
 * keys, a fifth of them rolled back. A commit whose answer is lost counts as what the table says.
 */
export const startWriter = Effect.fnUntraced(function* (ground: Ground, pauseMillis = 5) {
  const committed = new Map<string, number>()
  let count = 0
  let isStopped = false
  let transactions = 0
  const connected = Effect.promise(async () => {
    const client = new Client({ connectionString: ground.databaseUrl })
    client.on("error", () => undefined)
    await client.connect()
    return client
  })
  const write = async (client: Client): Promise<void> => {
    const rollsBack = ++transactions % 5 === 0
    const key = `key-${transactions % keys}`
    const next = committed.get(key) ?? 0
    const size = 1 + (transactions % 3)
    await client.query("BEGIN")
    await client.query(
      `INSERT INTO outbox_events (topic, key, payload)
       SELECT 'events.' || ($2 % 3), $1, jsonb_build_object('n', $2::int + n, 'rolledBack', $4::bool) FROM generate_series(1, $3::int) n`,
      [key, next, size, rollsBack]
    )
    await client.query(rollsBack ? "ROLLBACK" : "COMMIT")
    if (rollsBack) return
    committed.set(key, next + size)
    count += size
  }
  // Whether a commit took place whose answer did not come: the table knows.
  const recover = async (client: Client): Promise<void> => {
    const { rows } = await client.query<{ key: string; n: number }>(
      "SELECT key, max((payload->>'n')::int) AS n FROM outbox_events GROUP BY key"
    )
    for (const { key, n } of rows) committed.set(key, n)
  }
  const loop = Effect.gen(function* () {
    while (!isStopped) {
      yield* Effect.gen(function* () {
        const client = yield* Effect.acquireRelease(connected, (client) =>
          Effect.promise(() => client.end().catch(() => undefined))
        )
        yield* Effect.promise(() => recover(client))
        while (!isStopped) {
          yield* Effect.promise(() => write(client))
          yield* realSleep(pauseMillis)
        }
      }).pipe(
        Effect.scoped,
        Effect.catchDefect(() => realSleep(100))
      )
    }
  })
  const fiber = yield* Effect.forkScoped(loop)
  const writer: Writer = {
    committed,
    count: () => count,
    stop: Effect.suspend(() => {
      isStopped = true
      return Effect.asVoid(Fiber.join(fiber))
    })
  }
  return writer
})

/** What came into a queue, taken out of it. */
export const arrivals = (ground: Ground, queue: string) =>
  Effect.map(Queues.takeAll(ground.brokerUrl, queue), (messages) =>
    messages.map(({ content, fields, properties }) => ({
      id: String(properties.messageId),
      topic: fields.routingKey,
      key: String(properties.headers?.key),
      body: JSON.parse(content.toString()) as { readonly n: number; readonly rolledBack?: boolean }
    }))
  )

/** Every committed event has come, in order per key at its first time; none that was rolled back. Gives the repeats. */
export const checkArrivals = (found: Effect.Success<ReturnType<typeof arrivals>>, writer: Writer): number => {
  const seen = new Set<string>()
  const last = new Map<string, number>()
  for (const { body, id, key } of found) {
    assert.isNotTrue(body.rolledBack, `${id} was rolled back`)
    if (seen.has(id)) continue
    seen.add(id)
    assert.strictEqual(body.n, (last.get(key) ?? 0) + 1, `of ${key}`)
    last.set(key, body.n)
  }
  assert.deepStrictEqual(Object.fromEntries([...last].sort()), Object.fromEntries([...writer.committed].sort()))
  return found.length - seen.size
}

/** A queue that is full for good and says so, bound to one topic. */
export const bindFullQueue = (ground: Ground, queue: string, topic: string) =>
  Effect.promise(async () => {
    const connection = await connect(ground.brokerUrl)
    const channel = await connection.createChannel()
    await channel.assertQueue(queue, { durable: true, maxLength: 0, arguments: { "x-overflow": "reject-publish" } })
    await channel.bindQueue(queue, ground.exchange, topic)
    await connection.close()
  })

/** Another program's session. */
export const stranger = (ground: Ground) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const client = new Client({ connectionString: ground.databaseUrl, application_name: "a stranger" })
      await client.connect()
      return { query: (statement: string) => Effect.promise(() => client.query(statement)), end: () => client.end() }
    }),
    ({ end }) => Effect.promise(end)
  )
