/** The scheduler on a test's own clock: when it runs what, and what it hears of jobs meanwhile. */
import { assert, describe } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Latch } from "effect"
import { TestClock } from "effect/testing"
import { JobHistory } from "../../src/domain/ports/JobHistory.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import * as Job from "../../src/streams/Job.ts"
import { definitionOf } from "../../src/streams/JobScheduler.ts"
import { added, elapse, everyMinute, historyOf, noting, startScheduler, storeAway, test } from "../support/JobStage.ts"

describe("The scheduler", () => {
  test("runs a job at its times, and keeps what it gave", () =>
    Effect.gen(function* () {
      const { job, ran } = noting(everyMinute, Effect.succeed({ rows: 3 }))
      yield* startScheduler([job])
      yield* elapse("3 minutes")
      assert.deepStrictEqual(ran, [60, 120, 180])
      const [last] = yield* JobHistory.use((history) => history.lastRuns(["noting"], 1))
      assert.deepInclude(last, { outcome: "succeeded", attempt: 1, result: '{"rows":3}', replica: "one" })
    }))

  test("is not ready before its jobs are registered", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      const latch = yield* Latch.make()
      const { job } = noting()
      const register: JobHistory["Service"]["register"] = (jobs) => Effect.andThen(latch.await, history.register(jobs))
      const { states } = yield* startScheduler([job], { history: { ...history, register } })
      yield* elapse("1 minute")
      assert.strictEqual((yield* states).get("job scheduler"), "starting")
      yield* latch.open
      yield* elapse("1 second")
      assert.strictEqual((yield* states).get("job scheduler"), "running")
    }))

  test("runs an occurrence once, whichever of several schedulers does it", () =>
    Effect.gen(function* () {
      const { job, ran } = noting()
      for (const replica of ["one", "two", "three", "four", "five"]) yield* startScheduler([job], { replica })
      yield* elapse("5 minutes")
      assert.deepStrictEqual(ran, [60, 120, 180, 240, 300])
    }))

  test("takes up jobs that are added, changed, paused and removed while it runs", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      const payloads: Array<string> = []
      yield* startScheduler([], {
        added: ({ name, publishes }) => ({
          name,
          timeout: Duration.seconds(10),
          retry: RetryPolicy.none,
          run: Effect.sync(() => void payloads.push(publishes?.payload ?? ""))
        })
      })
      yield* elapse("10 seconds")
      yield* history.add(added)
      yield* elapse("60 seconds")
      assert.deepStrictEqual(payloads, ["1"])
      yield* history.add({ ...added, publishes: { topic: "bills", payload: "2" } })
      yield* elapse("60 seconds")
      assert.deepStrictEqual(payloads, ["1", "2"])
      yield* history.pause("added", true)
      yield* elapse("2 minutes")
      assert.deepStrictEqual(payloads, ["1", "2"])
      yield* history.pause("added", false)
      yield* elapse("60 seconds")
      assert.deepStrictEqual(payloads, ["1", "2", "2"])
      yield* history.remove("added")
      yield* elapse("2 minutes")
      assert.deepStrictEqual(payloads, ["1", "2", "2"])
    }))

  test("runs what it got just before a pause was heard of, and nobody takes it for lost", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      // Too often to be held ahead.
      const { job, ran } = noting({ schedule: "*/2 * * * * *" })
      yield* history.register([definitionOf(job)])
      const earlier = yield* history.takeNow({ replica: "gone", lease: Duration.minutes(1) }, "noting", -1000)
      const released = {
        outcome: "interrupted",
        isReleased: true,
        startedAt: undefined,
        error: undefined,
        result: undefined
      } as const
      yield* history.record(earlier === undefined ? [] : [{ run: earlier, ...released }])
      // The answer comes when everybody has long heard of it.
      const pausing = Effect.andThen(history.pause("noting", true), Effect.sleep("10 seconds"))
      const late = <A, E>(answer: Effect.Effect<A, E>, isGot: (answer: A) => boolean) =>
        Effect.tap(answer, (got) => (isGot(got) ? pausing : Effect.void))
      yield* startScheduler([job], {
        history: {
          ...history,
          decide: (holder, proposals) =>
            late(history.decide(holder, proposals), ({ decisions }) => decisions.some(({ run }) => run !== undefined)),
          takeWaiting: (holder, jobs, limit) =>
            late(history.takeWaiting(holder, jobs, limit), ({ length }) => length > 0)
        }
      })
      yield* elapse("30 seconds")
      yield* history.pause("noting", false)
      yield* elapse("60 seconds")
      assert.deepStrictEqual(yield* historyOf("noting"), ["-1 succeeded  2", "32 succeeded  1"])
      assert.lengthOf(ran, 2)
    }))

  test("records what has ended when others are decided, and half a second later at most", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      const recorded: Array<readonly [at: number, runs: number]> = []
      let statements = 0
      const jobs = Array.from({ length: 501 }, (_, index) => Job.make(`job-${index}`, everyMinute, Effect.void))
      // Too late to hold the first ones ahead.
      yield* TestClock.adjust("58 seconds")
      yield* startScheduler(jobs, {
        maxConcurrent: 1000,
        history: {
          ...history,
          decide: (holder, proposals) =>
            Effect.delay(
              history.decide(holder, proposals),
              proposals.length === 1 && statements++ === 0 ? "10 seconds" : 0
            ),
          record: (endings) =>
            Effect.tap(history.record(endings), () =>
              Effect.clockWith((clock) =>
                Effect.sync(() => void recorded.push([clock.currentTimeMillisUnsafe() / 1000, endings.length]))
              )
            )
        }
      })
      yield* elapse("67 seconds")
      // One statement waits for ten seconds in the first minute, and none in the second.
      assert.deepStrictEqual(recorded, [
        [60.5, 500],
        [70, 1],
        [120, 500],
        [120, 1]
      ])
    }))

  test("waits for a database that is storeAway, and loses nothing meanwhile", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      let isAway = false
      const { job } = noting({ ...everyMinute, catchUp: "all" })
      yield* startScheduler([job], {
        history: {
          ...history,
          decide: (holder, proposals) => (isAway ? storeAway : history.decide(holder, proposals)),
          record: (endings) => (isAway ? storeAway : history.record(endings)),
          renew: (holder, runs) => (isAway ? storeAway : history.renew(holder, runs))
        }
      })
      yield* elapse("70 seconds")
      isAway = true
      yield* elapse("130 seconds")
      isAway = false
      yield* elapse("70 seconds")
      const all = [60, 120, 180, 240].map((at) => `${at} succeeded  1`)
      assert.deepStrictEqual(yield* historyOf("noting"), all)
    }))

  for (const wrong of [-10, 10])
    test(`runs each occurrence once and in time where its own clock is ${wrong} minutes off`, () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const clock = yield* Clock.Clock
        const now = () => clock.currentTimeMillisUnsafe() + wrong * 60_000
        const off: Clock.Clock = { ...clock, currentTimeMillisUnsafe: now, currentTimeMillis: Effect.sync(now) }
        const inTime = <A, E>(effect: Effect.Effect<A, E>) => Effect.provideService(effect, Clock.Clock, clock)
        const ran: Array<number> = []
        const note = Effect.sync(() => void ran.push(clock.currentTimeMillisUnsafe() / 1000))
        const job = Job.make("noting", everyMinute, note)
        const store: JobHistory["Service"] = {
          ...history,
          register: (jobs) => inTime(history.register(jobs)),
          jobs: (since) => inTime(history.jobs(since)),
          decide: (holder, proposals) => inTime(history.decide(holder, proposals)),
          takeWaiting: (holder, jobs, limit) => inTime(history.takeWaiting(holder, jobs, limit)),
          renew: (holder, runs) => inTime(history.renew(holder, runs)),
          record: (endings) => inTime(history.record(endings))
        }
        yield* Effect.provideService(startScheduler([job], { history: store }), Clock.Clock, off)
        yield* startScheduler([job])
        yield* elapse("3 minutes")
        assert.deepStrictEqual(ran, [60, 120, 180])
      }))

  test("refuses jobs that cannot run as they are declared, all of it at once", () =>
    Effect.gen(function* () {
      const jobs = [
        Job.make("a", { schedule: "61 * * * *" }, Effect.void),
        Job.make("b", { schedule: "0 0 30 2 *" }, Effect.void),
        Job.make("c d", { schedule: "@daily", timeZone: "Mars/Olympus" }, Effect.void),
        Job.make("e", { schedule: "@daily" }, Effect.void),
        Job.make("e", { schedule: "@daily" }, Effect.void)
      ]
      const { fiber } = yield* startScheduler(jobs)
      const failure = yield* Effect.flip(Fiber.join(fiber))
      assert.deepStrictEqual(failure.message.split("\n").slice(1), [
        '  job a: minute: "61" is no field: Expected a value between 0 and 59',
        '  job b: day of month: "30" never occurs in month "2"',
        "  job c d: its name takes letters, digits, _, . and -, beginning with a letter or a digit, at most 64",
        '  job c d: timeZone: "Mars/Olympus" is no time zone that is known here',
        "  job e: there are 2 of that name"
      ])
    }))
})
