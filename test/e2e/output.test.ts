/** What the product prints into a pipe, and what its reader does to it. */
import { existsSync } from "node:fs"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { newDatabase, query } from "../support/Databases.ts"
import * as Queues from "../support/Queues.ts"
import * as Stage from "../support/Stage.ts"
import { run } from "../support/servers/command.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

const events = 3000

/** A database with so many events to be published, each with a key of half a kilobyte. */
const outboxOfEvents = Effect.gen(function* () {
  const url = yield* newDatabase
  const env = { DATABASE_URL: Redacted.value(url) }
  const migrate = yield* Program.start({ runtime: "bun", args: ["--mode=migrate"], env })
  assert.strictEqual(yield* migrate.exit, 0)
  yield* query(
    url,
    `INSERT INTO outbox_events (topic, key, payload)
     SELECT 'payments', lpad(n::text, 512, '0'), '{}' FROM generate_series(1, ${events}) AS n`
  )
  return env
})

/** A reader who begins when the product has said all and would end; what it has read. */
const lateReader = Effect.gen(function* () {
  const folder = yield* temporaryFolder("reader")
  const [gate, all, ended] = [join(folder, "gate"), join(folder, "all"), join(folder, "ended")]
  yield* run("mkfifo", [gate], { env: { PATH: process.env.PATH } })
  const hasEnded = eventually(
    Effect.sync(() => assert.isTrue(existsSync(ended), "the product is through")),
    { deadline: "60 seconds" }
  )
  return {
    env: { TERMINATION_MESSAGE_PATH: ended },
    into: `{ read -r go < ${gate}; cat > ${all}; }`,
    hasEnded,
    read: Effect.promise(() => writeFile(gate, "go\n")),
    all: Effect.promise(() => readFile(all, "utf8"))
  }
})

const exitCodes = (stderr: ReadonlyArray<string>) => stderr.filter((line) => !line.startsWith("pid "))

const list = ["outbox", "list", "--json", `--limit=${events + 1}`]

describe.concurrent("What is printed into a pipe", () => {
  for (const runtime of Stage.runtimes) {
    it.live(`is there to the last byte, however late it is read (${runtime})`, () =>
      Effect.gen(function* () {
        const reader = yield* lateReader
        const env = { ...(yield* outboxOfEvents), ...reader.env }
        const program = yield* Program.start({ runtime, args: list, env, into: reader.into })
        yield* reader.hasEnded
        yield* reader.read
        yield* program.exit
        assert.deepStrictEqual(exitCodes(program.stderr), ["code 0"])
        const text = yield* reader.all
        assert.isAbove(text.length, 1_500_000)
        const keys = JSON.parse(text).map(({ key }: { readonly key: string }) => Number(key))
        assert.deepStrictEqual(
          keys,
          Array.from({ length: events }, (_, n) => n + 1)
        )
      })
    )

    it.live(`holds nobody who has asked to stop, when its reader reads nothing (${runtime})`, () =>
      Effect.gen(function* () {
        const reader = yield* lateReader
        const env = { ...(yield* outboxOfEvents), ...reader.env }
        const program = yield* Program.start({ runtime, args: list, env, into: reader.into })
        yield* reader.hasEnded
        const [, pid] = (yield* program.waitForLine(/^pid \d+$/)).split(" ")
        process.kill(Number(pid), "SIGTERM")
        // something is lost: it has failed
        yield* program.waitForLine(/^code 1$/)
        yield* reader.read
        yield* program.exit
      })
    )

    it.live(`is dropped without a word, once its reader has enough (${runtime})`, () =>
      Effect.gen(function* () {
        const env = yield* outboxOfEvents
        const program = yield* Program.start({ runtime, args: list, env, into: "head -c 10" })
        yield* program.exit
        assert.deepStrictEqual(exitCodes(program.stderr), ["code 0"])
      })
    )

    it.live(`drains a worker whose log nobody reads any more (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        yield* Stage.run(stage, { runtime, args: ["--mode=migrate"] })
        yield* Stage.publish(stage, Stage.payments(100))
        const env = { ...Stage.environmentOf(stage), LOG_LEVEL: "debug" }
        const program = yield* Program.start({ runtime, args: ["--mode=worker"], env, into: "head -n 1" })
        yield* program.exit
        assert.deepStrictEqual(exitCodes(program.stderr), ["code 0"])
        const waiting = yield* Queues.takeAll(stage.brokerUrl, stage.queue)
        assert.strictEqual((yield* Stage.rows(stage)).length + waiting.length, 100)
      })
    )
  }
})
