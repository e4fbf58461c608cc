/** The embedded broker on a PostgreSQL of its own, and what a test does with its queues and its rows. */
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { PgClient } from "@effect/sql-pg"
import { assert } from "@effect/vitest"
import { Effect, Layer, type Scope, Stream } from "effect"
import { Broker, type Delivery, type Outcome } from "../../src/domain/ports/Broker.ts"
import * as EmbeddedBroker from "../../src/layers/embedded/EmbeddedBroker.ts"
import * as EmbeddedPostgres from "../../src/layers/embedded/EmbeddedPostgres.ts"
import { message } from "./Messages.ts"
import { consuming } from "./QueueSteps.ts"
import { eventually } from "./servers/eventually.ts"
import { freePort } from "./servers/freePort.ts"
import { temporaryFolder } from "./servers/temporaryFolder.ts"

/** A folder for a PostgreSQL to make its data in. */
export const dataFolder = Effect.map(temporaryFolder("embedded"), (folder) => join(folder, "server"))

/** What a run before has left: the port that it had. */
export const rememberPort = (dataDirectory: string, port: number) =>
  Effect.promise(async () => {
    await mkdir(dataDirectory, { recursive: true })
    await writeFile(join(dataDirectory, "port"), String(port))
  })

/** Has the server of a folder begin at a port where no other does: stopped for a while, it comes back there. */
export const keepPort = (dataDirectory: string) => Effect.tap(freePort, (port) => rememberPort(dataDirectory, port))

const postgres = Layer.unwrap(Effect.map(dataFolder, (dataDirectory) => EmbeddedPostgres.layer({ dataDirectory })))

/** Both, for the tests of one file. */
export const servers = EmbeddedBroker.layer.pipe(Layer.provideMerge(postgres))

let queues = 0
/** A queue of its own for a test. */
export const freshQueue = Effect.gen(function* () {
  const queue = `queue-${++queues}`
  yield* (yield* Broker).ensureQueue(queue)
  return queue
})

/** Messages whose ids are their numbers. */
export const numbered = (queue: string, count: number) =>
  Array.from({ length: count }, (_, index) => message(queue, { id: `${index}` }))

export const settle = (delivery: Delivery, outcome: Outcome) =>
  Broker.use((broker) => broker.settle([{ delivery, outcome }]))

/** What arrives while the scope is open: the list grows by itself. */
export const collect = (queue: string, prefetch: number): Effect.Effect<Array<Delivery>, never, Broker | Scope.Scope> =>
  Effect.gen(function* () {
    const arrived: Array<Delivery> = []
    const fill = Stream.runForEach(consuming(queue, prefetch), (delivery) => Effect.sync(() => arrived.push(delivery)))
    yield* Effect.forkScoped(Effect.orDie(fill))
    return arrived
  })

export const untilLength = (arrived: ReadonlyArray<unknown>, length: number) =>
  eventually(
    Effect.sync(() => assert.strictEqual(arrived.length, length)),
    { deadline: "30 seconds" }
  )

/** The first delivery of a queue, held until the scope closes. */
export const takeOne = (queue: string) =>
  Effect.gen(function* () {
    const arrived = yield* collect(queue, 1)
    yield* untilLength(arrived, 1)
    return arrived[0] as Delivery
  })

/** Asks the database itself. */
export const sql = (statement: string) =>
  Effect.gen(function* () {
    const { url } = yield* EmbeddedPostgres.EmbeddedPostgres
    const ask = PgClient.PgClient.use((client) => client.unsafe<Record<string, unknown>>(statement))
    return yield* ask.pipe(Effect.provide(PgClient.layer({ url })))
  })

/** The rows of a queue, by their state. */
export const rowsOf = (queue: string) => sql(`SELECT state::text FROM paystream_broker.job WHERE name = '${queue}'`)
