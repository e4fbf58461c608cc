/** The topics of workers at every configured broker, made and told of by one command. */
import { randomUUID } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { inject } from "vitest"
import * as Stage from "../support/Stage.ts"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

const moduleOf = (topic: string) => `
import { Effect } from "effect"
import { Worker } from "paystream"
export const echo = Worker.make("echo", { topic: "${topic}", outputTopic: "${topic}.out" }, Effect.succeed)
`

/** A topic of its own, and runs of the command for a module with a worker on it. */
const make = Effect.fnUntraced(function* (runtime: Program.Runtime) {
  const topic = `migrate-${randomUUID()}`
  const path = join(yield* temporaryFolder("workers"), "workers.ts")
  writeFileSync(path, moduleOf(topic))
  const env = {
    RABBITMQ_URL: inject("rabbitmqUrl"),
    KAFKA_BROKERS: inject("kafkaBrokers"),
    API_BROKERS: "kafka,rabbitmq",
    DATABASE: "none"
  }
  const migrate = (...flags: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const args = ["--mode=migrate", "--topics", `--workers=${path}`, ...flags]
      const program = yield* Program.start({ runtime, args, env })
      assert.strictEqual(yield* program.exit, 0, program.stderr.join("\n"))
      return program.stdout
    })
  return { topic, migrate }
})

describe.concurrent("--mode=migrate --topics", () => {
  for (const runtime of Stage.runtimes) {
    it.live(`makes what is missing at each broker that the settings name, once, and says where (${runtime})`, () =>
      Effect.gen(function* () {
        const { migrate, topic } = yield* make(runtime)
        const names = {
          rabbitmq: [`${topic}.echo`, `${topic}.dlq`],
          kafka: [`${topic}.dlq`, topic, `${topic}.out`, `${topic}.echo.retry`]
        }
        const rows = (["rabbitmq", "kafka"] as const).flatMap((broker) =>
          names[broker].map((name) => ({ broker, name }))
        )
        const status = Effect.map(migrate("--status", "--json"), ([line = ""]) => JSON.parse(line))
        assert.deepStrictEqual(yield* status, { topics: rows.map((row) => ({ ...row, isThere: false })) })
        assert.include(yield* migrate("--status"), `kafka  ${topic}.out  missing`)
        const made = yield* migrate()
        for (const [index, broker] of (["rabbitmq", "kafka"] as const).entries()) {
          for (const name of [`${broker}: made`, ...names[broker]]) assert.include(made[index], name)
        }
        assert.deepStrictEqual(yield* status, { topics: rows.map((row) => ({ ...row, isThere: true })) })
        assert.deepStrictEqual(yield* migrate(), [
          "rabbitmq: no topic to make, all are there",
          "kafka: no topic to make, all are there"
        ])
        assert.deepStrictEqual(yield* migrate("--json"), ['{"made":[]}'])
      })
    )
  }
})

describe.concurrent("--mode=migrate --database", () => {
  it.live("asks no broker", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      const env = { BROKER: "kafka", KAFKA_SASL_USERNAME: "without a mechanism" }
      const { code, stdout } = yield* Stage.run(stage, {
        runtime: "node",
        args: ["--mode=migrate", "--database"],
        env
      })
      assert.strictEqual(code, 0)
      assert.match(stdout, /^migrated: 0001_payments\b/)
    })
  )
})
