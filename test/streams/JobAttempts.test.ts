/** What a run is, attempt by attempt: tried again, bounded in time, and kept with what went wrong. */
import { assert, describe } from "@effect/vitest"
import { Effect, Latch } from "effect"
import { TestClock } from "effect/testing"
import { JobHistory } from "../../src/domain/ports/JobHistory.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import * as Job from "../../src/streams/Job.ts"
import { elapse, everyMinute, historyOf, noting, startScheduler, test } from "../support/JobStage.ts"

describe("A run of a job", () => {
  test("that fails, or dies of a defect, is kept with its stack, and the next occurrence runs", () =>
    Effect.gen(function* () {
      const failing = Job.make("failing", everyMinute, Effect.fail("no money"))
      const dying = Job.make("dying", everyMinute, Effect.die(new TypeError("x is not a function")))
      yield* startScheduler([failing, dying])
      yield* elapse("2 minutes")
      assert.deepStrictEqual(yield* historyOf("failing"), ["60 failed  1", "120 failed  1"])
      assert.deepStrictEqual(yield* historyOf("dying"), ["60 failed  1", "120 failed  1"])
      const runs = yield* JobHistory.use((history) => history.runs({ job: "dying", onlyFailed: true, limit: 1 }))
      assert.match(runs[0]?.error ?? "", /^TypeError: x is not a function\n +at .*JobAttempts\.test\.ts/)
    }))

  test("is tried again as its policy says, and told which attempt it is", () =>
    Effect.gen(function* () {
      const attempts: Array<number | undefined> = []
      const work = Effect.gen(function* () {
        attempts.push((yield* Job.CurrentRun)?.attempt)
        if (attempts.length < 3) return yield* Effect.fail("not yet")
      })
      const retry = RetryPolicy.exponential({ maxRetries: 3 })
      const { job, ran } = noting({ schedule: "@hourly", retry }, work)
      yield* startScheduler([job])
      yield* TestClock.adjust("59 minutes")
      yield* elapse("2 minutes")
      assert.deepStrictEqual(attempts, [1, 2, 3])
      assert.deepStrictEqual(ran, [3600, 3601, 3603])
      assert.deepStrictEqual(yield* historyOf("noting"), ["3600 succeeded  3"])
    }))

  test("that takes too long is interrupted, and its finalizers run", () =>
    Effect.gen(function* () {
      const finalized: Array<string> = []
      const work = Effect.ensuring(
        Effect.never,
        Effect.sync(() => void finalized.push("yes"))
      )
      const { job } = noting({ schedule: "@every 1h", timeout: "30 seconds" }, work)
      yield* startScheduler([job])
      yield* TestClock.adjust("59 minutes")
      yield* elapse("95 seconds")
      assert.deepStrictEqual(finalized, ["yes"])
      assert.deepStrictEqual(yield* historyOf("noting"), ["3600 timed_out  1"])
      const [run] = yield* JobHistory.use((history) => history.runs({ job: "noting", onlyFailed: true, limit: 1 }))
      assert.strictEqual(run?.error, "took longer than 30s")
    }))

  test("that does not let itself be interrupted is left behind", () =>
    Effect.gen(function* () {
      const latch = yield* Latch.make()
      const { job } = noting({ schedule: "@hourly", timeout: "5 seconds" }, Effect.uninterruptible(latch.await))
      yield* startScheduler([job])
      yield* TestClock.adjust("59 minutes")
      yield* elapse("80 seconds")
      assert.deepStrictEqual(yield* historyOf("noting"), ["3600 timed_out  1"])
      yield* latch.open
    }))
})
