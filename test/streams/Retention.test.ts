import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Logger, Stream } from "effect"
import { TestClock } from "effect/testing"
import { StoreAway, StoreError } from "../../src/domain/StoreError.ts"
import { besideRetention, retention } from "../../src/streams/Retention.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import { Supervisor } from "../../src/streams/Supervisor.ts"

const away = new StoreError({ reason: new StoreAway({ detail: "PostgreSQL is away", code: "ECONNREFUSED" }) })

/** So many rows that are old, and what was asked for. */
const store = (old: number) => {
  const state = { old, calls: 0, isAway: false, onCall: Effect.void as Effect.Effect<void> }
  const forget = (_: Duration.Duration, limit: number) =>
    Effect.gen(function* () {
      state.calls++
      yield* state.onCall
      if (state.isAway) return yield* away
      const removed = Math.min(limit, state.old)
      state.old -= removed
      return removed
    })
  return { state, forget }
}

const age = Duration.days(1)

const run = (test: () => Effect.Effect<void, unknown, Shutdown | Supervisor>, lines: Array<unknown> = []) =>
  test().pipe(
    Effect.provide([
      Supervisor.layer,
      Shutdown.layer,
      Logger.layer([Logger.make(({ logLevel, message }) => void lines.push([logLevel, message]))])
    ])
  )

describe("Retention", () => {
  it.effect("removes all that is old, batch after batch, and looks again later", () =>
    run(() =>
      Effect.gen(function* () {
        const { forget, state } = store(2500)
        const fiber = yield* Effect.forkChild(Stream.runDrain(retention({ what: "payments", age, forget })))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual([state.old, state.calls], [0, 3])
        state.old = 10
        yield* TestClock.adjust("10 minutes")
        assert.deepStrictEqual([state.old, state.calls], [0, 4])
        yield* (yield* Shutdown).request
        yield* Fiber.join(fiber)
      })
    )
  )

  it.effect("stops between two batches when it is asked to", () =>
    run(() =>
      Effect.gen(function* () {
        const { forget, state } = store(1_000_000)
        state.onCall = (yield* Shutdown).request
        yield* Stream.runDrain(retention({ what: "payments", age, forget }))
        assert.strictEqual(state.calls, 1)
      })
    )
  )

  it.effect(
    "is no trouble to the work beside it while the database is away: it says so once, and goes on later",
    () => {
      const lines: Array<unknown> = []
      return run(
        () =>
          Effect.gen(function* () {
            const { forget, state } = store(10)
            state.isAway = true
            const work = Effect.never.pipe(besideRetention({ what: "payments", age, forget }))
            const fiber = yield* Effect.forkChild(work)
            yield* TestClock.adjust("25 minutes")
            assert.strictEqual(state.calls, 3)
            assert.deepStrictEqual(lines, [["Warn", ["old payments cannot be removed: PostgreSQL is away"]]])
            state.isAway = false
            yield* TestClock.adjust("10 minutes")
            assert.strictEqual(state.old, 0)
            yield* Fiber.interrupt(fiber)
          }),
        lines
      )
    }
  )

  it.effect("asks for nothing where all is kept, and ends with the work", () =>
    run(() =>
      Effect.gen(function* () {
        const { forget, state } = store(10)
        const work = Effect.as(Effect.sleep("1 hour"), "done").pipe(
          besideRetention({ what: "payments", age: undefined, forget })
        )
        const fiber = yield* Effect.forkChild(work)
        yield* TestClock.adjust("2 hours")
        assert.deepStrictEqual([yield* Fiber.join(fiber), state.calls], ["done", 0])
      })
    )
  )
})
