/** Where an end-to-end test plays: a queue and a database of its own, and the product as processes between them. */
import { randomUUID } from "node:crypto"
import { assert } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { inject } from "vitest"
import { newDatabase, query } from "./Databases.ts"
import * as Queues from "./Queues.ts"
import { eventually } from "./servers/eventually.ts"
import * as Program from "./servers/Program.ts"

export const runtimes = ["bun", "node"] as const

export interface Stage {
  readonly brokerUrl: string
  readonly databaseUrl: string
  readonly queue: string
  readonly deadLetters: string
}

/** What a stage stands on: the servers that the tests share, unless a test has its own. */
export interface Ground {
  readonly brokerUrl: string
  readonly databaseUrl: string
}

/** On a database of its own on any server. */
export const on = ({ brokerUrl, databaseUrl }: Ground): Effect.Effect<Stage> =>
  Effect.gen(function* () {
    const queue = `test-${randomUUID()}`
    yield* Queues.declare(brokerUrl, queue)
    return { brokerUrl, databaseUrl, queue, deadLetters: `${queue}.dlq` }
  })

/** On the shared servers; the queues are removed at the end. */
export const make = Effect.gen(function* () {
  const databaseUrl = Redacted.value(yield* newDatabase)
  const brokerUrl = inject("rabbitmqUrl")
  const remove = ({ deadLetters, queue }: Stage) =>
    Effect.andThen(Queues.remove(brokerUrl, queue), Queues.remove(brokerUrl, deadLetters))
  return yield* Effect.acquireRelease(on({ brokerUrl, databaseUrl }), remove)
})

export interface StartOptions {
  readonly runtime: Program.Runtime
  readonly args?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** What the product is told to play there; health pages only where a test asks for them. */
export const environmentOf = (stage: Stage) => ({
  RABBITMQ_URL: stage.brokerUrl,
  DATABASE_URL: stage.databaseUrl,
  QUEUE_NAME: stage.queue,
  HEALTH_PORT: "0"
})

/** Starts the product; a worker unless told. */
export const start = (stage: Stage, { args = ["--mode=worker"], cwd, env, runtime }: StartOptions) =>
  Program.start({
    runtime,
    args,
    env: { ...environmentOf(stage), ...env },
    ...(cwd === undefined ? {} : { cwd })
  })

/** Runs it to its end; its exit code and what it wrote. */
export const run = (stage: Stage, options: StartOptions) =>
  Effect.gen(function* () {
    const program = yield* start(stage, options)
    const code = yield* program.exit
    return { code, stdout: program.stdout.join("\n"), stderr: program.stderr.join("\n") }
  }).pipe(Effect.scoped)

/** Runs a worker until the queue has been empty for a second. */
export const drain = (stage: Stage, options: StartOptions) =>
  run(stage, { ...options, env: { ...options.env, IDLE_TIMEOUT_SECONDS: "1" } })

export interface Row {
  readonly message_id: string | null
  readonly payload: string
}

/** The rows of the stage's queue, in the order of their making. */
export const rows = (stage: Stage): Effect.Effect<ReadonlyArray<Row>> =>
  query<Row>(
    Redacted.make(stage.databaseUrl),
    "SELECT message_id, payload::text AS payload FROM payments WHERE source_queue = $1 ORDER BY id",
    [stage.queue]
  )

export const publish = (stage: Stage, messages: ReadonlyArray<Queues.Message>) =>
  Queues.publish(stage.brokerUrl, stage.queue, messages)

/** The dead letters, taken out of their queue. */
export const takeDeadLetters = (stage: Stage) => Queues.takeAll(stage.brokerUrl, stage.deadLetters)

/**
 * Makes the tables, and has each batch take so long: a worker's thousands of payments are stored within half a second,
 * which is over before anybody on a busy machine has seen that it has begun.
 */
export const slowDown = (stage: Stage, millis: number) =>
  Effect.gen(function* () {
    const { code, stderr } = yield* run(stage, { runtime: "bun", args: ["--mode=migrate"] })
    assert.strictEqual(code, 0, stderr)
    yield* query(
      Redacted.make(stage.databaseUrl),
      `CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_sleep(${millis} / 1000.0); RETURN NULL; END $$;
       CREATE TRIGGER slowly BEFORE INSERT ON payments FOR EACH STATEMENT EXECUTE FUNCTION slowly()`
    )
  })

/** Messages waiting in the queue. */
export const depth = (stage: Stage) => Queues.depth(stage.brokerUrl, stage.queue)

/** Waits until so many rows are stored. */
export const waitForRows = (stage: Stage, count: number) =>
  eventually(
    Effect.map(rows(stage), ({ length }) => assert.isAtLeast(length, count)),
    { deadline: "40 seconds", every: "50 millis" }
  )

/** `count` payments with ids and different contents. */
export const payments = (count: number, prefix = "payment"): ReadonlyArray<Queues.Message> =>
  Array.from({ length: count }, (_, index) => ({ id: `${prefix}-${index}`, body: JSON.stringify({ n: index }) }))
