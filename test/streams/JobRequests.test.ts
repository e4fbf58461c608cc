/** Runs that somebody asks a running scheduler for. */
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as Job from "../../src/streams/Job.ts"
import { elapse, everyMinute, historyOf, noting, startScheduler, test } from "../support/JobStage.ts"

describe("A run that is asked for", () => {
  test("begins at once, and is kept as every other", () =>
    Effect.gen(function* () {
      const { job, ran } = noting({ schedule: "@yearly" })
      const { ask } = yield* startScheduler([job])
      yield* elapse("5 seconds")
      yield* ask(job)
      yield* elapse("1 second")
      assert.deepStrictEqual([ran, yield* historyOf("noting")], [[5], ["5 succeeded  1"]])
    }))

  test("has one of the scheduler's places: what is due meanwhile finds none", () =>
    Effect.gen(function* () {
      const { job, ran } = noting()
      const long = Job.make("long", { schedule: "@yearly" }, Effect.sleep("90 seconds"))
      const { ask } = yield* startScheduler([job, long], { maxConcurrent: 1 })
      yield* ask(long)
      yield* elapse("125 seconds")
      assert.deepStrictEqual(yield* historyOf("noting"), ["60 skipped  0", "120 succeeded  1"])
      assert.deepStrictEqual(ran, [120])
    }))

  test("is refused where no place is free, and where another run of the job goes on", () =>
    Effect.gen(function* () {
      const long = Job.make("long", everyMinute, Effect.sleep("50 seconds"))
      const { job } = noting({ schedule: "@yearly" })
      const { ask } = yield* startScheduler([job, long], { maxConcurrent: 2 })
      yield* elapse("61 seconds")
      assert.include((yield* Effect.flip(ask(long))).message, "goes on or waits")
      yield* ask(Job.make("other", everyMinute, Effect.never))
      assert.include((yield* Effect.flip(ask(job))).message, "WORKER_MAX_CONCURRENT_JOBS")
      assert.deepStrictEqual(yield* historyOf("noting"), [])
    }))

  test("is let to its end by a stop, and not begun after it", () =>
    Effect.gen(function* () {
      const { job, ran } = noting({ schedule: "@yearly" }, Effect.sleep("10 seconds"))
      const { ask, request, stop } = yield* startScheduler([job])
      yield* ask(job)
      yield* request
      const late = yield* Effect.forkScoped(Effect.flip(ask(job)))
      yield* elapse("12 seconds")
      yield* stop
      assert.include((yield* Fiber.join(late)).message, "has not begun yet, or is stopping")
      assert.deepStrictEqual([ran, yield* historyOf("noting")], [[0], ["0 succeeded  1"]])
    }))
})
