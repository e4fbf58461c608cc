/** Brokers that a test of `dlq` shares with the product's own processes, and what it does with them. */
import { randomUUID } from "node:crypto"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { type Context, Effect, Layer, Redacted, type Scope } from "effect"
import { inject } from "vitest"
import { Broker } from "../../src/domain/ports/Broker.ts"
import * as EmbeddedBroker from "../../src/layers/embedded/EmbeddedBroker.ts"
import * as EmbeddedPostgres from "../../src/layers/embedded/EmbeddedPostgres.ts"
import * as PostgresReplayMarks from "../../src/layers/postgres/PostgresReplayMarks.ts"
import { newDatabase } from "./Databases.ts"
import { kafkaWithDepth } from "./KafkaQueues.ts"
import { postgresClient, rabbitMq } from "./Services.ts"
import { eventually } from "./servers/eventually.ts"
import * as Program from "./servers/Program.ts"
import { temporaryFolder } from "./servers/temporaryFolder.ts"

export type Environment = Readonly<Record<string, string>>

/** A broker that this test and the product's processes share. */
interface World {
  readonly env: Environment
  readonly broker: Context.Context<Broker>
  /** Whether topics and tables have to be made before. */
  readonly needsMigrating?: boolean
}

/** RabbitMQ, with a database of its own. */
export const onRabbitMq = Effect.gen(function* () {
  const database = Redacted.value(yield* newDatabase)
  const env = { RABBITMQ_URL: inject("rabbitmqUrl"), DATABASE_URL: database, HEALTH_PORT: "0" }
  return { env, broker: yield* Layer.build(rabbitMq()) } satisfies World
})

const onEmbedded = Effect.gen(function* () {
  const dataDirectory = yield* temporaryFolder("data")
  const env = { BROKER: "embedded", DATABASE: "embedded", PAYSTREAM_DATA: dataDirectory, HEALTH_PORT: "0" }
  const layer = Layer.provide(EmbeddedBroker.layer, EmbeddedPostgres.layer({ dataDirectory }))
  return { env, broker: yield* Layer.build(layer) } satisfies World
})

/** Kafka, with a database of its own. */
export const onKafka = Effect.gen(function* () {
  const database = yield* newDatabase
  const env = {
    BROKER: "kafka",
    KAFKA_BROKERS: inject("kafkaBrokers"),
    KAFKA_PARTITIONS: "2",
    DATABASE_URL: Redacted.value(database),
    HEALTH_PORT: "0"
  }
  const marks = Layer.provide(PostgresReplayMarks.layer({ address: "test" }), postgresClient(database))
  return { env, broker: yield* Layer.build(kafkaWithDepth(marks)), needsMigrating: true } satisfies World
})

const worlds = { RabbitMQ: onRabbitMq, embedded: onEmbedded, Kafka: onKafka } as const

/** What a scenario does with the product. */
export const playing = (world: World, runtime: Program.Runtime) => {
  const start = (args: ReadonlyArray<string>, env: Environment = {}) =>
    Program.start({ runtime, args, env: { ...world.env, ...env } })
  const run = (args: ReadonlyArray<string>, env: Environment = {}) =>
    Effect.gen(function* () {
      const program = yield* start(args, env)
      const code = yield* program.exit
      return { code, stdout: program.stdout.join("\n"), stderr: program.stderr.join("\n") }
    }).pipe(Effect.scoped)
  const dlq = (...args: ReadonlyArray<string>) => run(["dlq", ...args])
  const migrate = (workers: string) =>
    world.needsMigrating
      ? Effect.map(run(["--mode=migrate", workers]), ({ code, stderr }) => assert.strictEqual(code, 0, stderr))
      : Effect.void
  return { start, run, dlq, migrate }
}

type Play = ReturnType<typeof playing>

/** How many wait in a queue. */
export const depth = (queue: string) => Broker.use((broker) => broker.depth(queue))

/** Waits until so many do. */
export const depthIs = (queue: string, expected: number) =>
  eventually(
    Effect.map(depth(queue), (found) => assert.strictEqual(found, expected, queue)),
    { deadline: "30 seconds", every: "20 millis" }
  )

/** A test of the product on each of these brokers, each with one runtime. */
export const scenario = (
  name: string,
  places: ReadonlyArray<readonly [keyof typeof worlds, Program.Runtime]>,
  play: (stage: Play) => Effect.Effect<void, unknown, Broker | Scope.Scope>
) => {
  for (const [place, runtime] of places) {
    it.live(`${name} (${place}, ${runtime})`, () =>
      Effect.gen(function* () {
        const world = yield* worlds[place]
        yield* Effect.provide(play(playing(world, runtime)), world.broker)
      })
    )
  }
}

/** A queue of the payment worker, and that of its dead letters. */
export const newQueue = Effect.gen(function* () {
  const queue = `test-${randomUUID()}`
  const deadLetters = `${queue}.dlq`
  for (const name of [queue, deadLetters]) yield* Broker.use((broker) => broker.ensureQueue(name))
  return { queue, deadLetters }
})

/** A module of two groups on one topic: one of them decodes nothing as long as it is broken. */
export const twoGroups = (topic: string) =>
  Effect.gen(function* () {
    const path = join(yield* temporaryFolder("workers"), "workers.ts")
    const source = `
      import { Effect, Schema } from "effect"
      import { Worker } from "paystream"
      const has = (name) => ({ n }) => Effect.logInfo(name + " has " + n)
      const options = { topic: "${topic}" }
      export const calm = Worker.make("calm", options, has("calm"))
      const n = process.env.BROKEN ? Schema.String : Schema.Int
      export const failing = Worker.make("failing", { ...options, input: Schema.Struct({ n }) }, has("failing"))
    `
    yield* Effect.promise(() => writeFile(path, source))
    return path
  })
