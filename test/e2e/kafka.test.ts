/** Topic workers on Kafka as processes: killed, stopped, refused. */
import { randomUUID } from "node:crypto"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { inject } from "vitest"
import { Broker } from "../../src/domain/ports/Broker.ts"
import * as HealthPages from "../support/HealthPages.ts"
import { inTurn } from "../support/inTurn.ts"
import * as KafkaRecords from "../support/KafkaRecords.ts"
import { kafka } from "../support/KafkaServices.ts"
import * as Stage from "../support/Stage.ts"
import { eventually } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

const keys = 10

/** A worker that takes a moment for each message, which leaves seconds to see it at work, and fails for some of them once. */
const moduleOf = (topic: string) => `
import { Effect } from "effect"
import { RetryPolicy, Worker } from "paystream"
const failed = new Set()
const process = (input) => {
  if (!input.fails || failed.has(input.n)) return Effect.succeed({ n: input.n })
  failed.add(input.n)
  return Effect.fail("once in each process")
}
export const stuck = Worker.make("stuck", { topic: "${topic}", groupId: "stuck", concurrency: 2 }, () =>
  Effect.andThen(Effect.logInfo("it is begun"), Effect.never))
export const echo = Worker.make("echo", {
  topic: "${topic}", outputTopic: "${topic}.out", groupId: "group", concurrency: 8,
  retry: RetryPolicy.fixed({ maxRetries: 3, initialDelay: "300 millis" })
}, (input) => Effect.andThen(Effect.sleep("20 millis"), process(input)))
`

const make = Effect.gen(function* () {
  const topic = `e2e-${randomUUID()}`
  const folder = yield* temporaryFolder("workers")
  const path = join(folder, "workers.ts")
  yield* Effect.promise(() => writeFile(path, moduleOf(topic)))
  const start = (
    runtime: Program.Runtime,
    args: ReadonlyArray<string> = ["--mode=consumers"],
    env: Readonly<Record<string, string>> = {}
  ) =>
    Program.start({
      runtime,
      args,
      env: {
        WORKERS: path,
        BROKER: "kafka",
        DATABASE: "none",
        KAFKA_BROKERS: inject("kafkaBrokers"),
        KAFKA_PARTITIONS: "4",
        KAFKA_SESSION_TIMEOUT_SECONDS: "3",
        HEALTH_PORT: "0",
        ...env
      }
    })
  const run = (...given: Parameters<typeof start>) =>
    Effect.gen(function* () {
      const program = yield* start(...given)
      const code = yield* program.exit
      return { code, stdout: program.stdout.join("\n"), stderr: program.stderr.join("\n") }
    }).pipe(Effect.scoped)
  return { topic, start, run }
})

const migrate = ["--mode=migrate", "--topics"]
const echo = ["--mode=consumers", "--worker=echo"]

describe.concurrent("workers on Kafka", () => {
  for (const runtime of Stage.runtimes) {
    const live = inTurn(runtime)
    live(`lose nothing and keep the order of each key when they are killed under work (${runtime})`, () =>
      Effect.gen(function* () {
        const { run, start, topic } = yield* make
        const made = yield* run(runtime, migrate)
        assert.strictEqual(made.code, 0, made.stderr)
        const count = 2_000
        const fails = (n: number) => n % 50 === 0
        const outputs = KafkaRecords.numbersOf(`${topic}.out`)
        let worker = yield* start(runtime, echo)
        yield* worker.waitForLine(/partitions assigned/)
        yield* KafkaRecords.publish(
          topic,
          Array.from({ length: count }, (_, n) => ({ key: `key-${n % keys}`, value: { n, fails: fails(n) } }))
        )
        for (const least of [300, 1_000]) {
          yield* eventually(
            Effect.map(outputs, ({ length }) => assert.isAbove(length, least)),
            { deadline: "40 seconds", every: "50 millis" }
          )
          yield* worker.kill("SIGKILL")
          yield* worker.exit
          // work was under way
          assert.isBelow(new Set(yield* outputs).size, count)
          worker = yield* start(runtime, echo)
        }
        yield* eventually(
          Effect.map(outputs, (found) => assert.strictEqual(new Set(found).size, count)),
          { deadline: "60 seconds", every: "100 millis" }
        )
        yield* worker.kill("SIGTERM")
        assert.strictEqual(yield* worker.exit, 0)
        const found = yield* outputs
        const firsts = [...new Set(found)].filter((n) => !fails(n))
        for (let key = 0; key < keys; key++) {
          const own = firsts.filter((n) => n % keys === key)
          assert.deepStrictEqual(
            own,
            [...own].sort((one, other) => one - other)
          )
        }
        // what was in hand at two kills, and no more
        assert.isAtMost(found.length - count, 2 * 8 * 8 * 4)
        assert.strictEqual(yield* KafkaRecords.lagOf(topic, "group"), 0)
      })
    )

    live(`leave suspects behind when they are killed: what they may have had in hand (${runtime})`, () =>
      Effect.gen(function* () {
        const { run, start, topic } = yield* make
        assert.strictEqual((yield* run(runtime, migrate)).code, 0)
        const worker = yield* start(runtime, ["--mode=consumers", "--worker=stuck"])
        yield* worker.waitForLine(/partitions assigned/)
        yield* KafkaRecords.publish(
          topic,
          Array.from({ length: 5 }, (_, n) => ({ key: "one key", value: { n } }))
        )
        yield* worker.waitForLine(/it is begun/)
        yield* worker.kill("SIGKILL")
        yield* worker.exit
        const subscription = { _tag: "Topic", topic, group: "stuck" } as const
        const attempts = Broker.use((broker) =>
          broker.deliveries(subscription, { prefetch: 3 }).pipe(
            Stream.map(({ attempt }) => attempt),
            Stream.take(3),
            Stream.runCollect
          )
        )
        // one that has let go in order leaves none
        const both = Effect.all([attempts, attempts])
        const [afterDeath, afterStop] = yield* Effect.provide(both, kafka())
        assert.deepStrictEqual(afterDeath, [2, 2, 2])
        assert.deepStrictEqual(afterStop, [1, 1, 1])
      })
    )

    live(
      `end with 3 where a topic is missing or a password is wrong, with 2 where queues are asked for (${runtime})`,
      () =>
        Effect.gen(function* () {
          const { run, topic } = yield* make
          const missing = yield* run(runtime)
          assert.strictEqual(missing.code, 3)
          for (const name of [topic, `${topic}.out`, `${topic}.dlq`, `${topic}.group.retry`]) {
            assert.include(missing.stderr, name)
          }
          assert.include(missing.stderr, "--mode=migrate --topics")
          const status = yield* run(runtime, [...migrate, "--status", "--json"])
          assert.strictEqual(
            JSON.parse(status.stdout).topics.filter((one: { isThere: boolean }) => one.isThere).length,
            0
          )
          for (const mode of ["worker", "publish", "demo"]) {
            const refused = yield* run(runtime, [`--mode=${mode}`])
            assert.strictEqual(refused.code, 2)
            assert.match(refused.stderr, /BROKER: got "kafka"; takes .*no queues/)
          }
          const wrong = yield* run(runtime, ["--mode=consumers"], {
            KAFKA_SASL_USERNAME: "somebody",
            KAFKA_SASL_PASSWORD: "s3cret-never-shown"
          })
          assert.strictEqual(wrong.code, 2)
          assert.include(wrong.stderr, "KAFKA_SASL_MECHANISM")
          assert.notInclude(wrong.stderr, "s3cret-never-shown")
        })
    )
  }

  it.live("wait for a Kafka that is away, say so once, and are not ready meanwhile", () =>
    Effect.gen(function* () {
      const { start } = yield* make
      const [port, nobody] = [yield* freePort, yield* freePort]
      const env = { KAFKA_BROKERS: `127.0.0.1:${nobody}`, HEALTH_PORT: `${port}` }
      const worker = yield* start("node", ["--mode=consumers"], env)
      yield* worker.waitForLine(/Kafka is away/)
      yield* HealthPages.waitForStatus(port, "/readyz", 503)
      yield* worker.waitForLine(/does not get on/, { deadline: "60 seconds" })
      assert.strictEqual(worker.stdout.filter((line) => line.includes("Kafka is away")).length, 1)
      assert.deepStrictEqual(worker.stderr, [])
      yield* worker.kill("SIGTERM")
      assert.strictEqual(yield* worker.exit, 0)
    })
  )
})
