/** The PIX system as a whole: the API, the consumers and the simulator as processes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as Api from "../support/Api.ts"
import { newDatabase, query } from "../support/Databases.ts"
import * as HealthPages from "../support/HealthPages.ts"
import * as Stage from "../support/Stage.ts"
import type { Child } from "../support/servers/Child.ts"
import { eventually } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"
import * as Kafka from "../support/servers/Kafka.ts"
import type { Runtime } from "../support/servers/Program.ts"
import * as Program from "../support/servers/Program.ts"
import * as RabbitMq from "../support/servers/RabbitMq.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

type Environment = Readonly<Record<string, string>>

const embedded = Effect.map(
  temporaryFolder("simulate"),
  (folder): Environment => ({ BROKER: "embedded", DATABASE: "embedded", PAYSTREAM_DATA: folder })
)

/** A RabbitMQ of its own, since everybody's consumers are of one group. */
const onRabbitMq = Effect.gen(function* () {
  const { url } = yield* RabbitMq.startOwn
  const database = yield* newDatabase
  const env: Environment = { RABBITMQ_URL: url, DATABASE_URL: Redacted.value(database) }
  return { env, database }
})

/** A Kafka of its own, with the topics made as an operator makes them. */
const onKafka = Effect.gen(function* () {
  const { address } = yield* Kafka.startOwn
  const database = yield* newDatabase
  const env: Environment = {
    BROKER: "kafka",
    KAFKA_BROKERS: address,
    KAFKA_PARTITIONS: "2",
    KAFKA_SESSION_TIMEOUT_SECONDS: "6",
    DATABASE_URL: Redacted.value(database)
  }
  const migrated = yield* Program.start({ runtime: "node", args: ["--mode=migrate"], env })
  assert.strictEqual(yield* migrated.exit, 0, migrated.stderr.join("\n"))
  return { env, database }
})

const brokers = { RabbitMQ: onRabbitMq, Kafka: onKafka } as const

const startConsumers = (runtime: Runtime, env: Environment) =>
  Effect.gen(function* () {
    const port = yield* freePort
    const child = yield* Program.start({
      runtime,
      args: ["--mode=consumers"],
      env: { HEALTH_PORT: `${port}`, ...env }
    })
    return { child, port, metrics: `http://127.0.0.1:${port}/metrics` }
  })

/** Starts them, and waits until each has its subscription. */
const startSubscribed = (runtime: Runtime, env: Environment) =>
  Effect.tap(startConsumers(runtime, env), ({ port }) => HealthPages.waitForWorkers(port, 5))

const startApi = (runtime: Runtime, env: Environment) => Effect.map(Api.startAt({ runtime, env }), ({ url }) => url)

/** Both brokers, with Kafka's topics made as an operator makes them: RabbitMQ's queues are the workers' own work. */
const onBoth = Effect.gen(function* () {
  const [rabbitMq, kafka] = yield* Effect.all([RabbitMq.startOwn, Kafka.startOwn], { concurrency: 2 })
  const database = yield* newDatabase
  const env: Environment = {
    API_BROKERS: "kafka,rabbitmq",
    RABBITMQ_URL: rabbitMq.url,
    KAFKA_BROKERS: kafka.address,
    KAFKA_PARTITIONS: "2",
    KAFKA_SESSION_TIMEOUT_SECONDS: "6",
    DATABASE_URL: Redacted.value(database)
  }
  const migrated = yield* Program.start({ runtime: "node", args: ["--mode=migrate"], env })
  assert.strictEqual(yield* migrated.exit, 0, migrated.stderr.join("\n"))
  assert.match(migrated.stdout.join("\n"), /^kafka: made .*pix\.payment\.requested/m)
  assert.notInclude(migrated.stdout.join("\n"), "rabbitmq")
  const consumersOn = (runtime: Runtime, broker: string) => startSubscribed(runtime, { ...env, BROKER: broker })
  return { consumersOn, env, kafka, recorded: recordedIn(database) }
})

/** Steps in the audit log. */
const recordedIn = (database: Redacted.Redacted) =>
  Effect.map(query<{ count: string }>(database, "SELECT count(*) AS count FROM pix_audit_log"), ([row]) =>
    Number(row?.count)
  )

/** Payments that consumers have settled: a step that a payment takes once, however often it was sent. */
const settledBy = (metrics: string) =>
  Effect.map(Api.ask(metrics), ({ text }) => {
    const samples = text.matchAll(/^paystream_worker_messages_total\{(.*)\} (\d+)$/gm)
    const own = [...samples].filter(([, labels = ""]) => /"pix-settle"/.test(labels) && /"done"/.test(labels))
    return own.reduce((sum, [, , count]) => sum + Number(count), 0)
  })

const startSimulator = (runtime: Runtime, target: string, ...flags: ReadonlyArray<string>) =>
  Program.start({ runtime, args: ["--mode=simulate", `--target=${target}`, "--json", ...flags] })

const totalsOf = (child: Child) =>
  Effect.map(child.exit, (code) => ({ code, ...JSON.parse(child.stdout.at(-1) ?? "{}") }))

const whole = { code: 0, failed: 0, missing: 0, doubled: 0, invalidAccepted: 0 }

describe.concurrent("a simulation", () => {
  for (const [api, consumers] of [Stage.runtimes, [...Stage.runtimes].reverse()] as const) {
    it.live(
      `has every accepted payment settled and audited, and every invalid one refused (API on ${api}, embedded)`,
      () =>
        Effect.gen(function* () {
          const env = yield* embedded
          const target = yield* startApi(api as Runtime, env)
          yield* startSubscribed(consumers as Runtime, env)
          const child = yield* startSimulator(api as Runtime, target, "--count=40", "--rate=100", "--invalid=0.25")
          assert.deepInclude(yield* totalsOf(child), { ...whole, sent: 40, accepted: 30, refused: 10, settled: 30 })
        })
    )
  }

  it.live.each(["RabbitMQ", "Kafka"] as const)(
    "loses and doubles nothing when consumers are killed in the midst (%s)",
    (name) =>
      Effect.gen(function* () {
        const { database, env } = yield* brokers[name]
        const target = yield* startApi("node", { ...env, API_BROKERS: name.toLowerCase() })
        const recorded = recordedIn(database)
        let consumers = yield* startSubscribed("bun", env)
        const child = yield* startSimulator("node", target, "--count=300", "--rate=50")
        for (const [runtime, atLeast] of [
          ["node", 50],
          ["bun", 250]
        ] as const) {
          yield* eventually(
            Effect.map(recorded, (count) => assert.isAtLeast(count, atLeast)),
            { deadline: "100 seconds", every: "10 millis" }
          )
          yield* consumers.child.kill("SIGKILL")
          // it counts only where work was under way
          assert.isBelow(yield* recorded, 1200)
          // what has come meanwhile is soon done: there is no time to wait until they are all there
          consumers = yield* startConsumers(runtime, env)
        }
        assert.deepInclude(yield* totalsOf(child), { ...whole, sent: 300, accepted: 300, settled: 300 })
        assert.strictEqual(yield* recorded, 1200)
      })
  )

  it.live("goes through both brokers of one API, each payment by its own, and one that is away is named", () =>
    Effect.gen(function* () {
      const { consumersOn, env, kafka, recorded } = yield* onBoth
      const consumers = [yield* consumersOn("bun", "kafka"), yield* consumersOn("node", "rabbitmq")]
      const target = yield* startApi("bun", env)
      const simulation = (count: number) =>
        Effect.flatMap(startSimulator("node", target, `--count=${count}`, "--rate=100"), totalsOf)
      assert.deepInclude(yield* simulation(40), { ...whole, sent: 40, accepted: 40, settled: 40 })
      assert.strictEqual(yield* recorded, 40 * 4)
      // a message is counted once it is acknowledged, which nobody waits for who comes after it
      for (const { metrics } of consumers)
        yield* eventually(
          Effect.map(settledBy(metrics), (count) => assert.strictEqual(count, 20)),
          { deadline: "30 seconds", every: "100 millis" }
        )
      const sent = yield* Api.post(`${target}/pix/kafka`, Api.request())
      assert.deepStrictEqual(
        [sent.status, JSON.parse(sent.text)],
        [200, { status: "Event sent to Kafka", topic: "pix.payment.requested" }]
      )

      yield* kafka.stop
      const send = (route: string) => Api.post(`${target}/${route}`, Api.request())
      const refused = yield* send("kafka")
      assert.strictEqual(refused.status, 503)
      assert.isAbove(Number(refused.headers.get("retry-after")), 0)
      assert.strictEqual((yield* send("rabbit")).status, 200)
      const readiness = Effect.map(Api.ask(`${target}/readyz`), ({ text }) => JSON.parse(text))
      yield* eventually(
        Effect.map(readiness, (page) =>
          assert.deepInclude(page, { status: "unavailable", kafka: "away", rabbitmq: "connected" })
        ),
        { deadline: "20 seconds", every: "100 millis" }
      )
      yield* kafka.start
      yield* eventually(
        Effect.map(readiness, (page) =>
          assert.deepStrictEqual(page, { status: "ok", kafka: "connected", rabbitmq: "connected" })
        ),
        { deadline: "30 seconds", every: "100 millis" }
      )
      assert.deepInclude(yield* simulation(20), { ...whole, sent: 20, accepted: 20, settled: 20 })
      for (const { child } of consumers) {
        yield* child.kill("SIGTERM")
        assert.strictEqual(yield* child.exit, 0)
      }
    })
  )

  it.live("tells what is missing with 1", () =>
    Effect.gen(function* () {
      const env = yield* embedded
      const target = yield* startApi("bun", env)
      const alone = yield* startSimulator("node", target, "--count=3", "--rate=100", "--timeout=1")
      assert.deepInclude(yield* totalsOf(alone), { code: 1, accepted: 3, settled: 0, missing: 3 })
    })
  )

  for (const runtime of Stage.runtimes) {
    it.live(`stops at Ctrl-C with 4 (${runtime})`, () =>
      Effect.gen(function* () {
        const target = yield* startApi("bun", yield* embedded)
        const sent = Effect.map(Api.ask(`${target}/metrics`), ({ text }) =>
          [...text.matchAll(/requests_total\{[^}]*"POST"[^}]*\} (\d+)/g)].reduce(
            (sum, [, count]) => sum + Number(count),
            0
          )
        )
        const stopped = yield* startSimulator(runtime, target, "--count=100000", "--rate=50")
        // nobody else has sent this API anything: it is the simulator that runs
        yield* eventually(
          Effect.map(sent, (count) => assert.isAbove(count, 10)),
          { deadline: "60 seconds", every: "50 millis" }
        )
        yield* stopped.kill("SIGINT")
        assert.deepInclude(yield* totalsOf(stopped), { code: 4, stopped: true })
        assert.match(stopped.stderr.join("\n"), /stopped after \d+ of 100000/)
      })
    )
  }

  it.live("says what is wrong with the target, the key or a flag", () =>
    Effect.gen(function* () {
      const env = yield* embedded
      const target = yield* startApi("node", { ...env, API_KEYS: "secret-key" })
      const refused = yield* startSimulator("bun", target, "--count=1")
      assert.strictEqual(yield* refused.exit, 3)
      assert.match(refused.stderr.join("\n"), /refuses the key \(401\); API_KEY/)
      const nobody = yield* startSimulator("bun", "http://127.0.0.1:1", "--count=1", "--timeout=1")
      assert.strictEqual(yield* nobody.exit, 1)
      assert.match(nobody.stderr.join("\n"), /the API at http:\/\/127.0.0.1:1 does not answer/)
      const waiting = yield* startSimulator("node", "http://127.0.0.1:1", "--count=1", "--timeout=3600")
      yield* eventually(
        Effect.sync(() => assert.match(waiting.stderr.join("\n"), /has not answered yet: it is asked for 3600 s/)),
        { deadline: "60 seconds" }
      )
      yield* waiting.kill("SIGINT")
      assert.strictEqual(yield* waiting.exit, 4)
      for (const flag of ["--rate=0", "--invalid=2", "--target=nowhere", "--timeout=-1"]) {
        assert.strictEqual(yield* (yield* startSimulator("bun", target, flag)).exit, 2, flag)
      }
    })
  )
})
