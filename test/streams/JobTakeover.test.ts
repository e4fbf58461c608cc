/** Runs of schedulers that stop, die, or cannot renew their leases: who goes on with them, and when nobody does. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { JobHistory } from "../../src/domain/ports/JobHistory.ts"
import * as Job from "../../src/streams/Job.ts"
import { elapse, everyMinute, historyOf, noting, startScheduler, storeAway, test } from "../support/JobStage.ts"

describe("The run of a scheduler", () => {
  test("that is gone is taken over after its lease, as a further attempt", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      let isGone = false
      const gone: JobHistory["Service"] = {
        ...history,
        record: (endings) => (isGone ? storeAway : history.record(endings)),
        renew: (holder, runs) => (isGone ? storeAway : history.renew(holder, runs)),
        decide: (holder, proposals) => (isGone ? storeAway : history.decide(holder, proposals)),
        takeWaiting: (holder, jobs, limit) => (isGone ? storeAway : history.takeWaiting(holder, jobs, limit))
      }
      const tokens: Array<bigint | undefined> = []
      const attempts: Array<number | undefined> = []
      const work = Effect.gen(function* () {
        const run = yield* Job.CurrentRun
        tokens.push(run?.fencingToken)
        attempts.push(run?.attempt)
        if (run?.attempt === 1) yield* Effect.sleep("1 hour")
      })
      const { job } = noting({ schedule: "@hourly", timeout: "2 hours" }, work)
      const first = yield* startScheduler([job], { replica: "first", history: gone })
      yield* TestClock.adjust("59 minutes")
      yield* elapse("65 seconds")
      isGone = true
      yield* first.kill
      yield* startScheduler([job], { replica: "second" })
      yield* elapse("5 seconds")
      assert.deepStrictEqual(attempts, [1])
      yield* elapse("15 seconds")
      assert.deepStrictEqual(attempts, [1, 2])
      assert.isTrue((tokens[1] ?? 0n) > (tokens[0] ?? 0n))
      assert.deepStrictEqual(yield* historyOf("noting"), ["3600 succeeded  2"])
    }))

  test("that takes one process after the other with it is given up", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      const { job, ran } = noting({ schedule: "@hourly", timeout: "2 hours" }, Effect.sleep("1 hour"))
      for (let process = 1; process <= 8; process++) {
        let isGone = false
        const own: JobHistory["Service"] = {
          ...history,
          record: (endings) => (isGone ? storeAway : history.record(endings)),
          renew: (holder, runs) => (isGone ? storeAway : history.renew(holder, runs))
        }
        const scheduler = yield* startScheduler([job], { replica: String(process), history: own })
        if (process === 1) yield* TestClock.adjust("59 minutes")
        yield* elapse(process === 1 ? "65 seconds" : "20 seconds")
        isGone = true
        yield* scheduler.kill
        yield* elapse("1 second")
      }
      assert.strictEqual(ran.length, 6)
      assert.deepStrictEqual(yield* historyOf("noting"), ["3600 failed  7"])
      const [run] = yield* JobHistory.use((store) => store.runs({ job: "noting", onlyFailed: true, limit: 10 }))
      assert.match(run?.error ?? "", /^6 processes that ran it were not heard of any more, and it is not begun again/)
    }))

  test("that cannot renew its lease is interrupted, and nothing is recorded of it", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      let interrupted = false
      const work = Effect.onInterrupt(Effect.sleep("1 hour"), () =>
        Effect.sync(() => {
          interrupted = true
        })
      )
      const { job } = noting({ schedule: "@hourly", timeout: "2 hours" }, work)
      yield* startScheduler([job], { history: { ...history, renew: () => storeAway } })
      yield* TestClock.adjust("59 minutes")
      yield* elapse("80 seconds")
      assert.isTrue(interrupted)
      const [run] = yield* JobHistory.use((store) => store.runs({ job: "noting", onlyFailed: false, limit: 10 }))
      assert.deepInclude(run, { isOpen: true })
    }))

  test("that is asked to stop ends, and no more are begun", () =>
    Effect.gen(function* () {
      const { job, ran } = noting({ ...everyMinute, overlap: "queue" }, Effect.sleep("90 seconds"))
      const scheduler = yield* startScheduler([job], { drain: "2 minutes" })
      yield* elapse("61 seconds")
      yield* scheduler.request
      yield* elapse("2 minutes")
      yield* scheduler.stop
      assert.deepStrictEqual([ran, yield* historyOf("noting")], [[60], ["60 succeeded  1"]])
    }))

  test("that is asked to stop, and does not end in time, is released, and another goes on with it at once", () =>
    Effect.gen(function* () {
      const attempts: Array<number | undefined> = []
      const work = Effect.gen(function* () {
        const run = yield* Job.CurrentRun
        attempts.push(run?.attempt)
        if (run?.attempt === 1) yield* Effect.sleep("1 hour")
      })
      const { job } = noting({ schedule: "@hourly", timeout: "2 hours" }, work)
      const first = yield* startScheduler([job], { replica: "first", drain: "10 seconds" })
      yield* TestClock.adjust("59 minutes")
      yield* elapse("61 seconds")
      yield* first.request
      yield* elapse("11 seconds")
      yield* first.stop
      assert.deepStrictEqual(yield* historyOf("noting"), ["3600 interrupted open 1"])
      yield* startScheduler([job], { replica: "second" })
      yield* elapse("3 seconds")
      assert.deepStrictEqual([attempts, yield* historyOf("noting")], [[1, 2], ["3600 succeeded  2"]])
    }))
})
