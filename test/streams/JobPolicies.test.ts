/** What becomes of occurrences that overlap, were missed, or find no free place. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { JobHistory } from "../../src/domain/ports/JobHistory.ts"
import * as Job from "../../src/streams/Job.ts"
import { elapse, everyMinute, historyOf, noting, startScheduler, test } from "../support/JobStage.ts"

describe("The scheduler, by a job's policies,", () => {
  test("skips what overlaps, or lets it wait for its turn", () =>
    Effect.gen(function* () {
      const long = Effect.sleep("100 seconds")
      const skipping = Job.make("skipping", { ...everyMinute, overlap: "skip" }, long)
      const queueing = Job.make("queueing", { ...everyMinute, overlap: "queue" }, long)
      yield* startScheduler([skipping, queueing])
      yield* elapse("290 seconds")
      assert.deepStrictEqual(yield* historyOf("skipping"), [
        "60 succeeded  1",
        "120 skipped  0",
        "180 succeeded  1",
        "240 skipped  0"
      ])
      assert.deepStrictEqual(yield* historyOf("queueing"), [
        "60 succeeded  1",
        "120 succeeded  1",
        "180 runs open 1",
        "240 waits open 0"
      ])
    }))

  for (const [catchUp, expected] of [
    ["latest", ["60 succeeded", "120 skipped", "180 skipped", "240 succeeded", "300 succeeded"]],
    ["all", ["60 succeeded", "120 succeeded", "180 succeeded", "240 succeeded", "300 succeeded"]],
    ["none", ["60 succeeded", "120 skipped", "180 skipped", "240 succeeded", "300 succeeded"]]
  ] as const)
    test(`catches up with what nothing ran for: ${catchUp}`, () =>
      Effect.gen(function* () {
        const { job } = noting({ ...everyMinute, catchUp })
        const first = yield* startScheduler([job])
        yield* elapse("70 seconds")
        yield* first.stop
        yield* TestClock.adjust("175 seconds")
        yield* startScheduler([job])
        yield* elapse("60 seconds")
        const told = (yield* historyOf("noting")).map((line) => line.split(" ").slice(0, 2).join(" "))
        assert.deepStrictEqual(told, [...expected])
      }))

  test("runs nothing that was missed long ago, where none is caught up with", () =>
    Effect.gen(function* () {
      const { job, ran } = noting({ schedule: "@hourly", catchUp: "none" })
      const first = yield* startScheduler([job])
      yield* elapse("1 second")
      yield* first.stop
      yield* TestClock.adjust("90 minutes")
      yield* startScheduler([job])
      yield* elapse("1 minute")
      assert.deepStrictEqual([ran, yield* historyOf("noting")], [[], ["3600 skipped  0"]])
    }))

  test("skips what finds no free place for a moment, and keeps that", () =>
    Effect.gen(function* () {
      const slow = Job.make("slow", everyMinute, Effect.sleep("10 minutes"))
      const quick = Job.make("quick", everyMinute, Effect.sleep("700 millis"))
      const late = Job.make("late", everyMinute, Effect.void)
      yield* startScheduler([slow, quick, late], { maxConcurrent: 1 })
      yield* elapse("70 seconds")
      const all = (yield* Effect.forEach(["slow", "quick", "late"], historyOf)).flat().map((line) => line.split(" ")[1])
      assert.isAbove(all.filter((word) => word === "skipped").length, 0)
      const [skipped] = (yield* JobHistory.use((history) =>
        history.runs({ job: undefined, onlyFailed: false, limit: 10 })
      )).filter(({ outcome }) => outcome === "skipped")
      assert.strictEqual(skipped?.error, "limit")
    }))

  test("lets a run wait for a free place that comes soon enough", () =>
    Effect.gen(function* () {
      const [one, other] = ["one", "other"].map((name) => Job.make(name, everyMinute, Effect.sleep("500 millis")))
      if (one === undefined || other === undefined) return assert.fail()
      yield* startScheduler([one, other], { maxConcurrent: 1 })
      yield* elapse("65 seconds")
      assert.deepStrictEqual(yield* historyOf("one"), ["60 succeeded  1"])
      assert.deepStrictEqual(yield* historyOf("other"), ["60 succeeded  1"])
    }))
})
