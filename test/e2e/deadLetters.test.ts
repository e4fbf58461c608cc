import { randomUUID } from "node:crypto"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, type Context, Effect, Layer, Redacted, type Scope } from "effect"
import { inject } from "vitest"
import { Broker } from "../../src/domain/ports/Broker.ts"
import * as EmbeddedBroker from "../../src/layers/embedded/EmbeddedBroker.ts"
import * as EmbeddedPostgres from "../../src/layers/embedded/EmbeddedPostgres.ts"
import * as PostgresReplayMarks from "../../src/layers/postgres/PostgresReplayMarks.ts"
import { newDatabase } from "../support/Databases.ts"
import { kafkaWithDepth } from "../support/KafkaQueues.ts"
import * as Lines from "../support/Lines.ts"
import { bytes, message, takeAll } from "../support/Messages.ts"
import { postgresClient, rabbitMq } from "../support/Services.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

type Environment = Readonly<Record<string, string>>

/** A broker that this test and the product's processes share. */
interface World {
  readonly env: Environment
  readonly broker: Context.Context<Broker>
  /** Whether topics and tables have to be made before. */
  readonly needsMigrating?: boolean
}

const onRabbitMq = Effect.gen(function* () {
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

const onKafka = Effect.gen(function* () {
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
const playing = (world: World, runtime: Program.Runtime) => {
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

const depth = (queue: string) => Broker.use((broker) => broker.depth(queue))

const depthIs = (queue: string, expected: number) =>
  eventually(
    Effect.map(depth(queue), (found) => assert.strictEqual(found, expected, queue)),
    { deadline: "30 seconds", every: "20 millis" }
  )

const scenario = (
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

const newQueue = Effect.gen(function* () {
  const queue = `test-${randomUUID()}`
  const deadLetters = `${queue}.dlq`
  for (const name of [queue, deadLetters]) yield* Broker.use((broker) => broker.ensureQueue(name))
  return { queue, deadLetters }
})

const payment = (n: number) => `{"payment" : ${n}, "amount" : 10.00}`

describe.concurrent("dlq", () => {
  scenario(
    "shows the payment worker's dead letters, and puts them back to be stored",
    [
      ["RabbitMQ", "bun"],
      ["embedded", "node"]
    ],
    ({ dlq, run }) =>
      Effect.gen(function* () {
        const { deadLetters, queue } = yield* newQueue
        const four = Arr.makeBy(4, (n) => message(queue, { id: `p-${n}`, body: bytes(payment(n)) }))
        yield* Broker.use((broker) => broker.publish(four))
        const settleFour = { QUEUE_NAME: queue, MAX_MESSAGES: "4" }
        yield* run(["--mode=worker"], { ...settleFour, MAX_MESSAGE_BYTES: "10" })
        yield* depthIs(deadLetters, 4)

        const listed = yield* dlq("list", deadLetters)
        assert.strictEqual(listed.code, 0, listed.stderr)
        assert.match(listed.stdout, /^ID +TIME +GROUP +REASON/)
        assert.match(listed.stdout, /\np-2 +\d{4}-\S+ +- +too_large +0 +test-\S+ +\d+ bytes, at most 10/)
        assert.match(listed.stdout, /\n4 dead letters: 4 too_large$/)
        const two = yield* dlq("list", deadLetters, "--limit=2", "--json")
        // Set aside together, they are of one age: any two of them, where the broker keeps no order of such.
        const oldest = two.stdout.split("\n").map((line) => JSON.parse(line).id)
        assert.strictEqual(new Set(oldest).size, 2)
        assert.isTrue(oldest.every((id) => /^p-[0-3]$/.test(id)))
        assert.match(two.stderr, /^2 more wait/m)

        const shown = yield* dlq("show", deadLetters, "--id=p-1")
        assert.include(shown.stdout, payment(1))
        assert.notInclude(shown.stdout, payment(0))
        assert.include(shown.stdout, 'x-paystream-reason: "too_large"')

        const tried = yield* dlq("replay", deadLetters, "--all", "--dry-run")
        assert.include(tried.stdout, `p-3 would go to queue ${queue}`)
        yield* depthIs(deadLetters, 4)
        yield* depthIs(queue, 0)

        const one = yield* dlq("replay", deadLetters, "--id=p-1", "--id=nobody", "--by=ada")
        assert.strictEqual(one.code, 1)
        assert.match(one.stdout, /^1 put back: 1 to queue test-/)
        assert.match(one.stderr, /among 4 looked at there is no dead letter nobody/)
        assert.notInclude(one.stderr, payment(1))
        yield* depthIs(queue, 1)
        yield* depthIs(deadLetters, 3)

        const rest = yield* dlq("replay", deadLetters, "--all", "--json")
        assert.strictEqual(rest.code, 0, rest.stderr)
        assert.lengthOf(rest.stdout.split("\n"), 3)
        const stored = yield* run(["--mode=worker"], settleFour)
        assert.match(stored.stdout, /"stored":4/)
        yield* depthIs(deadLetters, 0)
      })
  )

  scenario(
    "puts a topic worker's dead letters back to the group that failed alone",
    [
      ["RabbitMQ", "node"],
      ["embedded", "bun"],
      ["Kafka", "node"],
      ["Kafka", "bun"]
    ],
    ({ dlq, migrate, run, start }) =>
      Effect.gen(function* () {
        const topic = `topic-${randomUUID()}`
        const workers = `--workers=${yield* twoGroups(topic)}`
        yield* migrate(workers)
        const broker = yield* Broker
        for (const group of ["calm", "failing"]) yield* broker.subscribe(topic, group)
        const three = Arr.makeBy(3, (n) => ({ ...message("", { id: `o-${n}`, body: bytes(`{"n":${n}}`) }), topic }))
        yield* broker.publishToTopics(three)
        const broken = yield* start(["--mode=consumers", workers], { BROKEN: "1" })
        yield* Lines.waitFor(broken, "calm has", 3)
        yield* Lines.waitFor(broken, "dead letter", 3)
        yield* broken.kill("SIGTERM")
        yield* broken.exit
        yield* depthIs(`${topic}.dlq`, 3)

        const tried = (env: Environment) =>
          run(["dlq", "replay", `${topic}.dlq`, "--id=o-1", "--dry-run", workers], env)
        const [asBefore, asNow] = yield* Effect.all([tried({ BROKEN: "1" }), tried({})])
        assert.match(asBefore.stdout, /^o-1 would go to group failing of topic topic-\S+; it would fail again: .*n/m)
        assert.match(asNow.stdout, /^o-1 would go to group failing of topic topic-\S+; it would decode$/m)

        const mended = yield* start(["--mode=consumers", workers])
        const shown = yield* dlq("show", `${topic}.dlq`, "--id=o-2")
        assert.include(shown.stdout, '"original":{"n":2}')
        const one = yield* dlq("replay", `${topic}.dlq`, "--id=o-1")
        assert.strictEqual(one.code, 0, one.stderr)
        yield* Lines.waitFor(mended, "failing has 1", 1)
        yield* depthIs(`${topic}.dlq`, 2)
        const listed = yield* dlq("list", `${topic}.dlq`)
        assert.match(listed.stdout, /\n2 dead letters: 2 invalid_input$/)
        assert.notMatch(listed.stdout, /^o-1 /m)
        yield* dlq("replay", `${topic}.dlq`, "--all", "--rate=100")
        yield* Lines.waitFor(mended, "failing has", 3)
        yield* depthIs(`${topic}.dlq`, 0)
        yield* mended.kill("SIGTERM")
        yield* mended.exit
        assert.strictEqual(Lines.count(mended, "failing has"), 3)
        assert.strictEqual(Lines.count(mended, "calm has"), 0)
      })
  )

  scenario(
    "loses nothing when it is killed or stopped in the middle of a replay",
    [
      ["RabbitMQ", "bun"],
      ["embedded", "node"]
    ],
    ({ dlq, start }) =>
      Effect.gen(function* () {
        const count = 200
        const { deadLetters, queue } = yield* newQueue
        const headers = { "x-paystream-reason": "too_large", "x-paystream-source": queue }
        const letters = Arr.makeBy(count, (n) => message(deadLetters, { id: `${n}`, headers }))
        yield* Broker.use((broker) => broker.publish(letters))

        const killed = yield* start(["dlq", "replay", deadLetters, "--all", "--rate=100"])
        yield* atLeast(queue, 20)
        yield* killed.kill("SIGKILL")
        yield* killed.exit
        assert.isAbove(yield* depth(deadLetters), 0)
        const before = yield* depth(queue)

        const stopped = yield* start(["dlq", "replay", deadLetters, "--all", "--rate=50"])
        yield* atLeast(queue, before + 10)
        yield* stopped.kill("SIGTERM")
        assert.strictEqual(yield* stopped.exit, 4)
        const done = Number(/^(\d+) put back/m.exec(stopped.stdout.join("\n"))?.[1])
        assert.match(stopped.stderr.join("\n"), /stopped after \d+ of \d+: \d+ put back/)
        yield* depthIs(queue, before + done)

        assert.strictEqual((yield* dlq("replay", deadLetters, "--all")).code, 0)
        yield* depthIs(deadLetters, 0)
        const ids = (yield* takeAll(queue)).map(({ id }) => id)
        assert.strictEqual(new Set(ids).size, count)
        // as many as were under way when it was killed
        assert.isAtMost(ids.length, count + 8)
      })
  )

  it.live("shows a stranger's message so that it can do nothing to a terminal, and leaves it where it is", () =>
    Effect.gen(function* () {
      const world = yield* onRabbitMq
      const { dlq } = playing(world, "node")
      yield* Effect.gen(function* () {
        const { deadLetters } = yield* newQueue
        const hostile = { id: "\u001b[2Jid", headers: { "\u0007": "\u202e" }, body: Uint8Array.from([27, 91, 255]) }
        yield* Broker.use((broker) => broker.publish([message(deadLetters, hostile)]))
        const listed = yield* dlq("list", deadLetters)
        assert.match(listed.stdout, /\\u001b\[2Jid .* not set aside by Paystream/)
        const shown = yield* dlq("show", deadLetters, "--id=\\u001b[2Jid")
        assert.include(shown.stdout, Buffer.from(hostile.body).toString("base64"))
        const replayed = yield* dlq("replay", deadLetters, "--all")
        assert.strictEqual(replayed.code, 1)
        for (const { stdout } of [listed, shown, replayed]) assert.notMatch(stdout, /(?!\n)[\p{Cc}\p{Cf}]/u)
        yield* depthIs(deadLetters, 1)
      }).pipe(Effect.provide(world.broker))
    })
  )

  it.live("needs a database to put back what Kafka keeps, and none to look at it", () =>
    Effect.gen(function* () {
      const world = yield* onKafka
      const { dlq } = playing({ ...world, env: { ...world.env, DATABASE: "none" } }, "node")
      const topic = `topic-${randomUUID()}`
      yield* playing(world, "node").migrate(`--workers=${yield* twoGroups(topic)}`)
      const headers = { "x-paystream-reason": "rejected", "x-paystream-source": "queue" }
      const letter = { ...message("", { id: "o-1", headers }), topic: `${topic}.dlq` }
      yield* Effect.provide(
        Broker.use((broker) => broker.publishToTopics([letter])),
        world.broker
      )
      const listed = yield* dlq("list", letter.topic)
      assert.match(listed.stdout, /\n1 dead letter: 1 rejected$/)
      assert.include(listed.stderr, "DATABASE is none: what was put back already is not left out")
      const refused = yield* dlq("replay", letter.topic, "--all")
      assert.strictEqual(refused.code, 2)
      assert.match(refused.stderr, /DATABASE: got "none"; takes postgres or embedded .*BROKER=kafka/)
      // a queue's worker has no place here
      const stranger = yield* playing(world, "node").dlq("replay", letter.topic, "--all")
      assert.strictEqual(stranger.code, 1)
      assert.match(stranger.stdout, /^o-1 stays: there is no queue queue any more/m)
    })
  )

  it.live("says what is wrong with a command, and makes no queue of a wrong name", () =>
    Effect.gen(function* () {
      const world = yield* onRabbitMq
      const { dlq } = playing(world, "node")
      const name = `typo-${randomUUID()}`
      const [unknown, neither] = yield* Effect.all([dlq("list", name), dlq("replay", name)], { concurrency: 2 })
      assert.strictEqual(unknown.code, 3)
      assert.include(unknown.stderr, `there is no queue ${name}`)
      assert.strictEqual(neither.code, 2)
      assert.include(neither.stderr, "--id=ID, repeatable, or --all")
      const exit = yield* Effect.exit(Effect.provide(depth(name), world.broker))
      assert.strictEqual(exit._tag, "Failure")
    })
  )
})

const atLeast = (queue: string, count: number) =>
  eventually(
    Effect.map(depth(queue), (found) => assert.isAtLeast(found, count)),
    { deadline: "30 seconds", every: "5 millis" }
  )

/** A module of two groups on one topic: one of them decodes nothing as long as it is broken. */
const twoGroups = (topic: string) =>
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
