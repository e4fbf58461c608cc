import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { behind } from "../support/Behind.ts"
import * as Queues from "../support/Queues.ts"
import * as Stage from "../support/Stage.ts"
import type { Child } from "../support/servers/Child.ts"
import { eventually, realSleep } from "../support/servers/eventually.ts"
import * as TableLock from "../support/TableLock.ts"

/** Small batches and a line for each, so that a moment in the midst can be told. */
const inSmallSteps = { BATCH_SIZE: "20", LOG_LEVEL: "debug" }

const batchesSettled = (worker: Child, count: number) =>
  eventually(
    Effect.sync(() => assert.isAtLeast(worker.stdout.filter((line) => line.includes('"batch"')).length, count)),
    { deadline: "40 seconds", every: "2 millis" }
  )

/** Waits until so many are stored and acknowledged, in however many batches. */
const paymentsSettled = (worker: Child, count: number) =>
  eventually(
    Effect.sync(() => {
      const batches = worker.stdout.filter((line) => line.includes('"batch"'))
      const stored = batches.reduce((sum, line) => sum + JSON.parse(line).annotations.stored, 0)
      assert.strictEqual(stored, count)
    }),
    { deadline: "40 seconds", every: "20 millis" }
  )

const numberIn = (body: string): number => JSON.parse(body).n

describe.concurrent("a worker that is asked to stop", () => {
  for (const runtime of Stage.runtimes) {
    it.live(`has every message in the table, the queue or the dead letters, once, without ids too (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        yield* Stage.slowDown(stage, 50)
        const count = 3000
        const valid = Array.from({ length: count }, (_, n) => ({ body: JSON.stringify({ n }) }))
        const invalid = Array.from({ length: 300 }, (_, n) => ({ body: `{"n":${n}`, id: `invalid-${n}` }))
        const mixed = valid.flatMap((message, n) => (n % 10 === 0 ? [message, invalid[n / 10] ?? message] : [message]))
        yield* Stage.publish(stage, mixed)
        const worker = yield* Stage.start(stage, { runtime, env: inSmallSteps })
        yield* batchesSettled(worker, 5)
        yield* worker.kill("SIGTERM")
        assert.strictEqual(yield* worker.exit, 0)

        const stored = (yield* Stage.rows(stage)).map(({ payload }) => numberIn(payload))
        const [queued, set] = yield* Effect.all([
          Queues.takeAll(stage.brokerUrl, stage.queue),
          Stage.takeDeadLetters(stage)
        ])
        const waiting = queued.map(({ content }) => content.toString())
        const isInvalid = (body: string) => !body.endsWith("}")
        const unsettled = waiting.filter((body) => !isInvalid(body)).map(numberIn)
        const all = [...stored, ...unsettled].sort((one, other) => one - other)
        assert.deepStrictEqual(
          all,
          valid.map((_, n) => n)
        )
        const letters = [...set.map(({ content }) => content.toString()), ...waiting.filter(isInvalid)]
        assert.deepStrictEqual(letters.sort(), invalid.map(({ body }) => body).sort())
        assert.isAbove(stored.length, 0)
        assert.isAbove(unsettled.length, 0)
      })
    )

    it.live(`counts a doubled signal once, and ends at once when another comes a second later (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        yield* Stage.publish(stage, Stage.payments(10))
        const first = yield* Stage.start(stage, { runtime })
        yield* Stage.waitForRows(stage, 10)
        const lock = yield* TableLock.hold(stage.databaseUrl, "payments")
        yield* Stage.publish(stage, Stage.payments(10, "held"))
        yield* lock.isWaitedFor
        yield* first.kill("SIGINT")
        yield* first.waitForLine(/stopping/)
        yield* first.kill("SIGTERM")
        yield* first.kill("SIGINT")
        // the pause is the scenario: only what comes later than a second is a second signal
        yield* realSleep("1200 millis")
        assert.strictEqual(first.stdout.filter((line) => line.includes("stopping")).length, 1)
        yield* first.kill("SIGTERM")
        assert.strictEqual(yield* first.exit, 130)

        yield* lock.endWaiting
        const second = yield* Stage.start(stage, { runtime })
        yield* second.waitForLine(/starting/)
        yield* lock.isWaitedFor
        yield* second.kill("SIGTERM")
        yield* second.kill("SIGINT")
        yield* second.waitForLine(/stopping/)
        yield* lock.release
        assert.strictEqual(yield* second.exit, 0)
        const ids = (yield* Stage.rows(stage)).map((row) => row.message_id)
        assert.strictEqual(new Set(ids).size, ids.length)
        assert.strictEqual(ids.length + (yield* Stage.depth(stage)), 20)
      })
    )
  }

  for (const [runtime, service] of [
    ["bun", "database"],
    ["node", "broker"]
  ] as const) {
    it.live(`gives back what it has and ends with 0 while the ${service} is away (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const variable = service === "database" ? "DATABASE_URL" : "RABBITMQ_URL"
        const { proxy, url } = yield* behind(service === "database" ? stage.databaseUrl : stage.brokerUrl)
        yield* Stage.publish(stage, Stage.payments(10))
        const worker = yield* Stage.start(stage, { runtime, env: { [variable]: url, LOG_LEVEL: "debug" } })
        // stored is not yet acknowledged: the cut comes after that
        yield* paymentsSettled(worker, 10)
        yield* proxy.cut
        yield* Stage.publish(stage, Stage.payments(10, "meanwhile"))
        yield* worker.waitForLine(/is away/)
        yield* worker.kill("SIGTERM")
        assert.strictEqual(yield* worker.exit, 0)
        assert.strictEqual((yield* Stage.rows(stage)).length, 10)
        const waiting = yield* Stage.depth(stage)
        // acknowledgements that are on their way, one for each batch, are lost with the network
        assert.isAtLeast(waiting, 10)
        assert.isAtMost(waiting, service === "broker" ? 20 : 10)

        const never = yield* Stage.start(stage, { runtime, env: { [variable]: url } })
        yield* never.waitForLine(/is away/)
        yield* never.kill("SIGTERM")
        assert.strictEqual(yield* never.exit, 0)
        yield* proxy.heal
        assert.strictEqual((yield* Stage.drain(stage, { runtime })).code, 0)
        assert.strictEqual((yield* Stage.rows(stage)).length, 20)
      })
    )
  }

  it.live("ends with 1 when what is in flight is not done within the limit", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      yield* Stage.publish(stage, Stage.payments(1))
      const worker = yield* Stage.start(stage, { runtime: "node", env: { SHUTDOWN_TIMEOUT_SECONDS: "1" } })
      yield* Stage.waitForRows(stage, 1)
      const lock = yield* TableLock.hold(stage.databaseUrl, "payments")
      yield* Stage.publish(stage, Stage.payments(10, "held"))
      yield* lock.isWaitedFor
      yield* worker.kill("SIGTERM")
      assert.strictEqual(yield* worker.exit, 1)
      yield* lock.release
      yield* worker.waitForLine(/not drained within/)
      assert.strictEqual((yield* Stage.drain(stage, { runtime: "node" })).code, 0)
      assert.strictEqual((yield* Stage.rows(stage)).length, 11)
    })
  )
})
