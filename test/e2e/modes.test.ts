import { readdirSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { query } from "../support/Databases.ts"
import * as HealthPages from "../support/HealthPages.ts"
import * as Lines from "../support/Lines.ts"
import * as Queues from "../support/Queues.ts"
import * as Stage from "../support/Stage.ts"
import { eventually } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

const ask = (stage: Stage.Stage, statement: string) => query(Redacted.make(stage.databaseUrl), statement)

/** What the last line of a worker says it has done. */
const totalsOf = (stdout: string): Record<string, number> => JSON.parse(stdout.split("\n").at(-1) ?? "").annotations

/** A role that may store and look, and nothing else; its address of the stage's database. */
const storingRole = (stage: Stage.Stage) =>
  Effect.gen(function* () {
    const name = `role_${stage.queue.replaceAll("-", "_")}`
    const url = new URL(stage.databaseUrl)
    url.username = name
    url.password = "role"
    yield* Effect.acquireRelease(ask(stage, `CREATE ROLE ${name} LOGIN PASSWORD 'role'`), () =>
      ask(stage, `DROP OWNED BY ${name}; DROP ROLE ${name}`)
    )
    yield* ask(stage, `GRANT SELECT, INSERT ON payments TO ${name}; GRANT SELECT ON paystream_migrations TO ${name}`)
    return { name, url: url.href }
  })

describe.concurrent("--mode=worker", () => {
  for (const runtime of Stage.runtimes) {
    it.live(
      `settles exactly MAX_MESSAGES, duplicates and dead letters among them, and leaves the rest (${runtime})`,
      () =>
        Effect.gen(function* () {
          const stage = yield* Stage.make
          const mixed = Stage.payments(40).flatMap((payment, n) => [payment, payment, { id: `broken-${n}`, body: "{" }])
          yield* Stage.publish(stage, mixed)
          const env = { MAX_MESSAGES: "50", BATCH_SIZE: "7" }
          const { code, stdout } = yield* Stage.run(stage, { runtime, env })
          assert.strictEqual(code, 0)
          // messages 0 to 49: 17 payments, 17 of them once more, 16 broken ones
          assert.deepInclude(totalsOf(stdout), { stored: 17, duplicates: 17, deadLettered: 16, returned: 0 })
          assert.strictEqual((yield* Stage.rows(stage)).length, 17)
          assert.strictEqual((yield* Stage.takeDeadLetters(stage)).length, 16)
          const rest = yield* Queues.takeAll(stage.brokerUrl, stage.queue)
          assert.deepStrictEqual(
            rest.map(Queues.idOf),
            mixed.slice(50).map(({ id }) => id)
          )
        })
    )

    it.live(`that may not insert ends at its start with 3, and says which right it lacks (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        yield* Stage.run(stage, { runtime, args: ["--mode=migrate"] })
        const role = yield* storingRole(stage)
        yield* ask(stage, `REVOKE INSERT ON payments FROM ${role.name}`)
        yield* Stage.publish(stage, Stage.payments(10))
        const { code, stderr } = yield* Stage.run(stage, { runtime, env: { DATABASE_URL: role.url } })
        assert.strictEqual(code, 3)
        assert.include(stderr, `role ${role.name} lacks rights; GRANT INSERT ON payments TO ${role.name}`)
        assert.strictEqual(yield* Stage.depth(stage), 10)
      })
    )

    it.live(`sets nothing aside when INSERT is revoked in mid-drain, and goes on when it is granted (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        yield* Stage.run(stage, { runtime, args: ["--mode=migrate"] })
        const role = yield* storingRole(stage)
        const port = yield* freePort
        const env = { DATABASE_URL: role.url, MIGRATE_ON_START: "false", HEALTH_PORT: `${port}` }
        const worker = yield* Stage.start(stage, { runtime, env })
        yield* Stage.publish(stage, Stage.payments(10, "before"))
        yield* Stage.waitForRows(stage, 10)
        yield* HealthPages.waitForStatus(port, "/readyz", 200)
        yield* ask(stage, `REVOKE INSERT ON payments FROM ${role.name}`)
        yield* HealthPages.waitForStatus(port, "/readyz", 503)
        yield* Stage.publish(stage, Stage.payments(10, "after"))
        yield* worker.waitForLine(/PostgreSQL is away.*42501/)
        // probes go on meanwhile, and make no news of their own
        yield* Effect.repeat(HealthPages.page(port, "/readyz"), { times: 20 })
        yield* ask(stage, `GRANT INSERT ON payments TO ${role.name}`)
        yield* Stage.waitForRows(stage, 20)
        yield* Lines.waitFor(worker, "connected to PostgreSQL", 2)
        yield* HealthPages.waitForStatus(port, "/readyz", 200)
        yield* worker.kill("SIGTERM")
        assert.strictEqual(yield* worker.exit, 0)
        assert.strictEqual(yield* Queues.depth(stage.brokerUrl, stage.deadLetters), 0)
        assert.strictEqual(Lines.count(worker, "PostgreSQL is away"), 1)
        assert.strictEqual(Lines.count(worker, "connected to PostgreSQL"), 2)
      })
    )
  }

  it.live("starts ten times at once on an empty database, and stores every payment once", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      yield* Stage.publish(stage, Stage.payments(1000))
      const workers = Array.from({ length: 10 }, (_, n) =>
        Stage.drain(stage, { runtime: n % 2 === 0 ? "bun" : "node", env: { BATCH_SIZE: "20" } })
      )
      const ended = yield* Effect.all(workers, { concurrency: "unbounded" })
      assert.deepStrictEqual(
        ended.map(({ code, stderr }) => ({ code, stderr })),
        ended.map(() => ({ code: 0, stderr: "" }))
      )
      const ids = (yield* Stage.rows(stage)).map((row) => row.message_id)
      assert.strictEqual(ids.length, 1000)
      assert.strictEqual(new Set(ids).size, 1000)
    })
  )

  it.live("declares what is missing as quorum queues where QUEUE_TYPE says so", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      yield* Queues.remove(stage.brokerUrl, stage.queue)
      const env = { QUEUE_TYPE: "quorum", MAX_MESSAGES: "2" }
      const worker = yield* Stage.start(stage, { runtime: "node", env })
      yield* eventually(
        Effect.map(Queues.exists(stage.brokerUrl, stage.deadLetters), (there) => assert.isTrue(there)),
        { deadline: "60 seconds", every: "100 millis" }
      )
      yield* eventually(
        Effect.map(Queues.exists(stage.brokerUrl, stage.queue), (there) => assert.isTrue(there)),
        { deadline: "60 seconds", every: "100 millis" }
      )
      yield* Stage.publish(stage, [
        { id: "one", body: "{}" },
        { id: "two", body: "{" }
      ])
      assert.strictEqual(yield* worker.exit, 0)
      const [letter] = yield* Stage.takeDeadLetters(stage)
      assert.strictEqual(letter?.properties.messageId, "two")
      // declared again in the same way is no error, in another it is one
      const quorum = { arguments: { "x-queue-type": "quorum" } }
      for (const queue of [stage.queue, stage.deadLetters]) {
        assert.isTrue((yield* Effect.exit(Queues.declare(stage.brokerUrl, queue, quorum)))._tag === "Success")
        assert.isTrue((yield* Effect.exit(Queues.declare(stage.brokerUrl, queue)))._tag === "Failure")
      }
    })
  )
})

describe.concurrent("--mode=migrate", () => {
  for (const runtime of Stage.runtimes) {
    it.live(`makes the tables once and tells; a worker that may not make them names what is missing (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const migrate = (...flags: ReadonlyArray<string>) =>
          Effect.map(Stage.run(stage, { runtime, args: ["--mode=migrate", ...flags] }), ({ code, stdout }) => {
            assert.strictEqual(code, 0)
            return stdout
          })
        assert.match(yield* migrate("--status"), /^0001_payments {2}missing$/m)
        const { migrations } = JSON.parse(yield* migrate("--status", "--json"))
        assert.deepStrictEqual(migrations[0], { name: "0001_payments", appliedAt: null })
        const worker = yield* Stage.run(stage, { runtime, env: { MIGRATE_ON_START: "false" } })
        assert.strictEqual(worker.code, 2)
        assert.match(worker.stderr, /0001_payments.*MIGRATE_ON_START/)
        assert.match(yield* migrate(), /^migrated: 0001_payments\b/)
        assert.deepStrictEqual(JSON.parse(yield* migrate("--json")), { applied: [] })
        assert.match(yield* migrate("--status"), /^0001_payments {2}\d{4}-\d\d-\d\dT/)
      })
    )
  }
})

describe.concurrent("--mode=publish", () => {
  for (const runtime of Stage.runtimes) {
    it.live(`publishes persistent sample payments with ids, and says how many were confirmed (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const { hostname, password, port, username } = new URL(stage.brokerUrl)
        const args = ["--mode=publish", "--count=1200", `--queue=${stage.queue}`, `--host=${hostname}`]
        const env = {
          RABBITMQ_URL: "amqp://elsewhere.invalid",
          QUEUE_NAME: "elsewhere",
          RABBITMQ_PORT: port,
          RABBITMQ_USER: username,
          RABBITMQ_PASS: password
        }
        const { code, stderr, stdout } = yield* Stage.run(stage, { runtime, args, env })
        assert.strictEqual(code, 0, stderr)
        assert.match(stdout, /1200 payments published to test-\S+ and confirmed/)
        const json = yield* Stage.run(stage, { runtime, args: ["--mode=publish", "--count=1", "--json"] })
        assert.deepStrictEqual(JSON.parse(json.stdout), { queue: stage.queue, confirmed: 1 })
        const messages = yield* Queues.takeAll(stage.brokerUrl, stage.queue)
        assert.strictEqual(new Set(messages.map(Queues.idOf)).size, 1201)
        assert.isTrue(messages.every(({ properties }) => properties.deliveryMode === 2))
        const fields = Object.keys(JSON.parse(messages[0]?.content.toString() ?? "{}"))
        assert.deepStrictEqual(fields, ["order_id", "amount", "currency", "customer"])
      })
    )
  }
})

describe.concurrent("--mode=migrate --topics --status", () => {
  it.live("calls nothing missing at a broker that is away, and ends with 1", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      const env = { RABBITMQ_URL: `amqp://localhost:${yield* freePort}` }
      const args = ["--mode=migrate", "--topics", "--status"]
      const { code, stderr, stdout } = yield* Stage.run(stage, { runtime: "bun", args, env })
      assert.deepStrictEqual([code, stdout], [1, ""])
      assert.match(stderr, /ECONNREFUSED/)
    })
  )
})

describe.concurrent("a start on Node", () => {
  const version = (folder: string) =>
    Effect.gen(function* () {
      const env = { NODE_COMPILE_CACHE: folder }
      const program = yield* Program.start({ runtime: "node", args: ["--version"], env })
      assert.strictEqual(yield* program.exit, 0)
      return program.stdout.join("\n")
    })

  it.live("keeps what it has compiled for the next one, and goes without where it cannot", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder("compiled")
      const first = yield* version(folder)
      const kept = readdirSync(folder, { recursive: true })
      assert.isAbove(kept.length, 100)
      assert.strictEqual(yield* version(folder), first)
      assert.strictEqual(readdirSync(folder, { recursive: true }).length, kept.length)
      assert.strictEqual(yield* version("/dev/null/nowhere"), first)
    })
  )
})
