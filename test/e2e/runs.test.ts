/** Runs of the payment worker as processes: `RUN_ID` on a real RabbitMQ and a real PostgreSQL. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { query } from "../support/Databases.ts"
import { inTurn } from "../support/inTurn.ts"
import * as Queues from "../support/Queues.ts"
import * as Stage from "../support/Stage.ts"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"
import * as TableLock from "../support/TableLock.ts"

interface RunRow {
  readonly stored: number
  readonly duplicates: number
  readonly deadLettered: number
  readonly done: boolean
}

/** What the database says of the stage's one run. */
const runOf = (stage: Stage.Stage) =>
  Effect.map(
    query<RunRow>(
      Redacted.make(stage.databaseUrl),
      `SELECT sum(stored)::int AS stored, sum(duplicates)::int AS duplicates, sum(dead_lettered)::int AS "deadLettered",
        bool_and(done_at IS NOT NULL) AS done
       FROM worker_runs JOIN worker_run_shares USING (run_id)`
    ),
    ([row]) => row
  )

const storedBy = (run: string, stage: Stage.Stage) =>
  query<{ message_id: string }>(Redacted.make(stage.databaseUrl), "SELECT message_id FROM payments WHERE run_id = $1", [
    run
  ])

/** Small batches, so that a moment in the midst can be told; a short lease, so that a dead process is soon inherited. */
const inSmallSteps = { BATCH_SIZE: "20", RUN_LEASE_SECONDS: "2", LOG_LEVEL: "debug" }

const partOf = (run: string, maxMessages: number) => ({
  ...inSmallSteps,
  RUN_ID: run,
  MAX_MESSAGES: String(maxMessages)
})

/** A file for the termination message, and what is in it. */
const messageFile = Effect.map(temporaryFolder("termination"), (folder) => {
  const path = join(folder, "message")
  const read = Effect.map(
    Effect.promise(() => readFile(path, "utf8")),
    (text) => JSON.parse(text)
  )
  return { path, read }
})

describe.concurrent("a run of the payment worker", () => {
  for (const runtime of Stage.runtimes) {
    const live = inTurn(runtime)
    live(`settles exactly its limit over all its processes, though some are killed in the midst (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const [published, limit] = [3000, 2000]
        yield* Stage.slowDown(stage, 100)
        yield* Stage.publish(stage, Stage.payments(published))
        const env = partOf("killed", limit)
        for (const rows of [200, 900]) {
          const worker = yield* Stage.start(stage, { runtime, env })
          yield* Stage.waitForRows(stage, rows)
          yield* worker.kill("SIGKILL")
          assert.strictEqual(yield* worker.exit, 128 + 9)
          assert.isBelow((yield* Stage.rows(stage)).length, limit)
        }
        const last = yield* Stage.run(stage, { runtime, env })
        assert.strictEqual(last.code, 0, last.stderr)

        assert.deepStrictEqual(yield* runOf(stage), { stored: limit, duplicates: 0, deadLettered: 0, done: true })
        assert.strictEqual((yield* storedBy("killed", stage)).length, limit)
        const stored = new Set((yield* Stage.rows(stage)).map((row) => row.message_id))
        const left = (yield* Queues.takeAll(stage.brokerUrl, stage.queue)).map(Queues.idOf)
        assert.strictEqual(stored.size, limit)
        assert.strictEqual(left.length, published - limit)
        assert.isTrue(left.every((id) => !stored.has(id)))
      })
    )

    live(`stopped by a signal ends with 4, is finished by the next process, and does nothing more (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const { path, read } = yield* messageFile
        const bad = Array.from({ length: 50 }, (_, n) => ({ id: `bad-${n}`, body: "{" }))
        yield* Stage.slowDown(stage, 100)
        yield* Stage.publish(stage, [...bad, ...Stage.payments(950), ...Stage.payments(500, "rest")])
        const env = { ...partOf("evicted", 1000), TERMINATION_MESSAGE_PATH: path }
        const first = yield* Stage.start(stage, { runtime, env })
        yield* Stage.waitForRows(stage, 300)
        const lock = yield* TableLock.hold(stage.databaseUrl, "payments")
        yield* lock.isWaitedFor
        yield* first.kill("SIGTERM")
        yield* first.waitForLine(/stopping/)
        yield* lock.release
        assert.strictEqual(yield* first.exit, 4)
        const half = yield* read
        assert.strictEqual(half.done, false)
        assert.strictEqual(half.deadLettered, 50)
        assert.strictEqual(half.stored, (yield* Stage.rows(stage)).length)
        assert.match(half.error, /^stopped the run evicted after \d+ of 1000 messages$/)

        const second = yield* Stage.run(stage, { runtime, env })
        assert.strictEqual(second.code, 0, second.stderr)
        const whole = { run: "evicted", done: true, stored: 950, duplicates: 0, deadLettered: 50 }
        assert.deepStrictEqual(yield* read, whole)
        assert.strictEqual(yield* Stage.depth(stage), 500)
        assert.strictEqual((yield* Stage.takeDeadLetters(stage)).length, 50)

        yield* Queues.remove(stage.brokerUrl, stage.queue)
        const third = yield* Stage.run(stage, { runtime, env })
        assert.strictEqual(third.code, 0, third.stderr)
        assert.include(third.stdout, "already done")
        assert.deepStrictEqual(yield* read, whole)
      })
    )
  }

  it.live("is shared by three processes, which end together, with no more settled than its limit", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      yield* Stage.publish(stage, Stage.payments(1500))
      const runtimes = ["bun", "node", "bun"] as const
      const ended = yield* Effect.forEach(
        runtimes,
        (runtime) => Stage.run(stage, { runtime, env: partOf("shared", 1000) }),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        ended.map(({ code }) => code),
        [0, 0, 0]
      )
      assert.deepStrictEqual(yield* runOf(stage), { stored: 1000, duplicates: 0, deadLettered: 0, done: true })
      assert.strictEqual(yield* Stage.depth(stage), 500)
    })
  )

  it.live("waits for the share of a process that died, rather than end with messages unseen", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      yield* Stage.publish(stage, Stage.payments(300))
      const env = partOf("inherited", 100)
      const lock = yield* Effect.andThen(
        Stage.run(stage, { runtime: "node", env: { ...env, RUN_ID: "first", MAX_MESSAGES: "100" } }),
        TableLock.hold(stage.databaseUrl, "payments")
      )
      const dying = yield* Stage.start(stage, { runtime: "node", env })
      yield* lock.isWaitedFor
      const heir = yield* Stage.start(stage, { runtime: "bun", env })
      yield* heir.waitForLine(/starting/)
      yield* dying.kill("SIGKILL")
      yield* dying.exit
      yield* lock.release
      assert.strictEqual(yield* heir.exit, 0)
      assert.strictEqual((yield* storedBy("inherited", stage)).length, 100)
      assert.strictEqual(yield* Stage.depth(stage), 100)
    })
  )

  it.live("counts what comes again of its own only once", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      yield* Stage.publish(stage, Stage.payments(10))
      const env = partOf("redelivered", 15)
      const first = yield* Stage.start(stage, { runtime: "node", env })
      yield* Stage.waitForRows(stage, 10)
      yield* first.kill("SIGTERM")
      assert.strictEqual(yield* first.exit, 4)
      // as after a crash between the commit and the acknowledgement
      yield* Stage.publish(stage, Stage.payments(10))
      yield* Queues.giveBack(stage.brokerUrl, stage.queue, 10)
      yield* Stage.publish(stage, Stage.payments(8, "rest"))
      assert.strictEqual((yield* Stage.run(stage, { runtime: "bun", env })).code, 0)
      assert.deepStrictEqual(yield* runOf(stage), { stored: 15, duplicates: 0, deadLettered: 0, done: true })
      assert.strictEqual(yield* Stage.depth(stage), 3)
    })
  )

  it.live("counts second messages, and what another run has stored, as duplicates", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      const { path, read } = yield* messageFile
      yield* Stage.publish(stage, Stage.payments(5, "old"))
      assert.strictEqual((yield* Stage.run(stage, { runtime: "node", env: partOf("before", 5) })).code, 0)
      yield* Stage.publish(stage, [...Stage.payments(5, "old"), ...Stage.payments(5), ...Stage.payments(4)])
      const env = { ...partOf("after", 12), TERMINATION_MESSAGE_PATH: path }
      assert.strictEqual((yield* Stage.run(stage, { runtime: "bun", env })).code, 0)
      assert.deepStrictEqual(yield* read, { run: "after", done: true, stored: 5, duplicates: 7, deadLettered: 0 })
      assert.strictEqual(yield* Stage.depth(stage), 2)
    })
  )

  it.live("that has no limit is done when the queue stays empty, for all who come later", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      yield* Stage.publish(stage, Stage.payments(30))
      const env = { ...inSmallSteps, RUN_ID: "idle" }
      const ended = yield* Effect.forEach(Stage.runtimes, (runtime) => Stage.drain(stage, { runtime, env }), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(
        ended.map(({ code }) => code),
        [0, 0]
      )
      yield* Stage.publish(stage, Stage.payments(5, "later"))
      assert.strictEqual((yield* Stage.drain(stage, { runtime: "node", env })).code, 0)
      assert.strictEqual(yield* Stage.depth(stage), 5)
      assert.deepStrictEqual(yield* runOf(stage), { stored: 30, duplicates: 0, deadLettered: 0, done: true })
    })
  )

  it.live("ends with 2 where it was begun on other terms, and with the reason of a failure in its message", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      const { path, read } = yield* messageFile
      yield* Stage.publish(stage, Stage.payments(5))
      assert.strictEqual((yield* Stage.run(stage, { runtime: "node", env: partOf("terms", 5) })).code, 0)
      const other = { ...partOf("terms", 6), TERMINATION_MESSAGE_PATH: path }
      for (const runtime of Stage.runtimes) {
        assert.strictEqual((yield* Stage.run(stage, { runtime, env: other })).code, 2)
        assert.match((yield* read).error, /the run terms was begun.*MAX_MESSAGES=5.*another RUN_ID/)
        const wrong = { RUN_ID: "x".repeat(300), TERMINATION_MESSAGE_PATH: path }
        assert.strictEqual((yield* Stage.run(stage, { runtime, env: wrong })).code, 2)
        assert.match((yield* read).error, /RUN_ID/)
      }
    })
  )

  it.live("needs no servers but the embedded ones", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder("embedded-run")
      const env = {
        BROKER: "embedded",
        DATABASE: "embedded",
        PAYSTREAM_DATA: folder,
        HEALTH_PORT: "0",
        QUEUE_NAME: "q"
      }
      const run = (runtime: "bun" | "node", args: ReadonlyArray<string>, more: Readonly<Record<string, string>> = {}) =>
        Effect.gen(function* () {
          const program = yield* Program.start({ runtime, args, env: { ...env, ...more } })
          assert.strictEqual(yield* program.exit, 0, program.stderr.join("\n"))
          return program.stdout.join("\n")
        }).pipe(Effect.scoped)
      yield* run("node", ["--mode=publish", "--count=30"])
      const part = { RUN_ID: "embedded", MAX_MESSAGES: "20" }
      assert.match(yield* run("bun", ["--mode=worker"], part), /"stored":20/)
      assert.match(yield* run("node", ["--mode=worker"], part), /already done.*"stored":20/)
      assert.match(yield* run("bun", ["--mode=worker"], { ...part, RUN_ID: "rest", MAX_MESSAGES: "10" }), /"stored":10/)
    })
  )
})
