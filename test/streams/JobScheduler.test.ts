/** The scheduler on a test's own clock: what is due, what is skipped, caught up with and taken over. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Latch, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { JobHistory } from "../../src/domain/ports/JobHistory.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import { StoreAway, StoreError } from "../../src/domain/StoreError.ts"
import * as Job from "../../src/streams/Job.ts"
import { elapse, historyOf, ports, startScheduler } from "../support/JobStage.ts"

const test = <E>(name: string, body: () => Effect.Effect<void, E, JobHistory | Scope.Scope>) =>
  it.effect(name, () => Effect.provide(body(), ports))

const everyMinute = { schedule: "* * * * *" } as const

/** A job that notes at which second it runs. */
const noting = (options: Job.JobOptions = everyMinute, work: Effect.Effect<unknown, unknown> = Effect.void) => {
  const ran: Array<number> = []
  const note = Effect.clockWith((clock) => Effect.sync(() => void ran.push(clock.currentTimeMillisUnsafe() / 1000)))
  return { ran, job: Job.make("noting", options, Effect.andThen(note, work)) }
}

describe("The scheduler", () => {
  test("runs a job at its times, and keeps what it gave", () =>
    Effect.gen(function* () {
      const { job, ran } = noting(everyMinute, Effect.succeed({ rows: 3 }))
      yield* startScheduler([job])
      yield* elapse("3 minutes")
      assert.deepStrictEqual(ran, [60, 120, 180])
      const [last] = yield* JobHistory.use((history) => history.lastRuns(["noting"]))
      assert.deepInclude(last, { outcome: "succeeded", attempt: 1, result: '{"rows":3}', replica: "one" })
    }))

  test("runs an occurrence once, whichever of several schedulers does it", () =>
    Effect.gen(function* () {
      const { job, ran } = noting()
      for (const replica of ["one", "two", "three", "four", "five"]) yield* startScheduler([job], { replica })
      yield* elapse("5 minutes")
      assert.deepStrictEqual(ran, [60, 120, 180, 240, 300])
    }))

  test("keeps a failure and a defect with their stacks, and goes on with the next occurrence", () =>
    Effect.gen(function* () {
      const failing = Job.make("failing", everyMinute, Effect.fail("no money"))
      const dying = Job.make("dying", everyMinute, Effect.die(new TypeError("x is not a function")))
      yield* startScheduler([failing, dying])
      yield* elapse("2 minutes")
      assert.deepStrictEqual(yield* historyOf("failing"), ["60 failed  1", "120 failed  1"])
      assert.deepStrictEqual(yield* historyOf("dying"), ["60 failed  1", "120 failed  1"])
      const runs = yield* JobHistory.use((history) => history.runs({ job: "dying", onlyFailed: true, limit: 1 }))
      assert.match(runs[0]?.error ?? "", /^TypeError: x is not a function\n +at .*JobScheduler\.test\.ts/)
    }))

  test("tries a run again as its policy says, and tells it which attempt it is", () =>
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

  test("interrupts an attempt that takes too long, whose finalizers run", () =>
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

  test("takes over the run of a scheduler that is gone, after its lease, as a further attempt", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      const away = Effect.fail(new StoreError({ reason: new StoreAway({ detail: "gone", code: "08006" }) }))
      let isGone = false
      const gone: JobHistory["Service"] = {
        ...history,
        record: (endings) => (isGone ? away : history.record(endings)),
        renew: (holder, runs) => (isGone ? away : history.renew(holder, runs)),
        decide: (holder, proposals) => (isGone ? away : history.decide(holder, proposals)),
        takeWaiting: (holder, jobs, limit) => (isGone ? away : history.takeWaiting(holder, jobs, limit))
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

  test("gives up a run that takes one process after the other with it", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      const away = Effect.fail(new StoreError({ reason: new StoreAway({ detail: "away", code: "08006" }) }))
      const { job, ran } = noting({ schedule: "@hourly", timeout: "2 hours" }, Effect.sleep("1 hour"))
      for (let process = 1; process <= 8; process++) {
        let isGone = false
        const own: JobHistory["Service"] = {
          ...history,
          record: (endings) => (isGone ? away : history.record(endings)),
          renew: (holder, runs) => (isGone ? away : history.renew(holder, runs))
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

  test("interrupts a run whose lease it cannot renew, and records nothing of it", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      const away = Effect.fail(new StoreError({ reason: new StoreAway({ detail: "away", code: "08006" }) }))
      let interrupted = false
      const work = Effect.onInterrupt(Effect.sleep("1 hour"), () =>
        Effect.sync(() => {
          interrupted = true
        })
      )
      const { job } = noting({ schedule: "@hourly", timeout: "2 hours" }, work)
      yield* startScheduler([job], { history: { ...history, renew: () => away } })
      yield* TestClock.adjust("59 minutes")
      yield* elapse("80 seconds")
      assert.isTrue(interrupted)
      const [run] = yield* JobHistory.use((store) => store.runs({ job: "noting", onlyFailed: false, limit: 10 }))
      assert.deepInclude(run, { isOpen: true })
    }))

  test("lets runs end when it is asked to stop, and begins no more", () =>
    Effect.gen(function* () {
      const { job, ran } = noting({ ...everyMinute, overlap: "queue" }, Effect.sleep("90 seconds"))
      const scheduler = yield* startScheduler([job], { drain: "2 minutes" })
      yield* elapse("61 seconds")
      yield* scheduler.request
      yield* elapse("2 minutes")
      yield* scheduler.stop
      assert.deepStrictEqual([ran, yield* historyOf("noting")], [[60], ["60 succeeded  1"]])
    }))

  test("interrupts and releases what does not end in time, and another goes on with it at once", () =>
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

  test("takes up jobs that are added, changed, paused and removed while it runs", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      const payloads: Array<string> = []
      const added = {
        name: "added",
        schedule: "* * * * *",
        timeZone: "UTC",
        overlap: "skip",
        catchUp: "latest",
        publishes: { topic: "bills", payload: "1" }
      } as const
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

  test("waits for a database that is away, and loses nothing meanwhile", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      const away = Effect.fail(new StoreError({ reason: new StoreAway({ detail: "away", code: "08006" }) }))
      let isAway = false
      const { job } = noting({ ...everyMinute, catchUp: "all" })
      yield* startScheduler([job], {
        history: {
          ...history,
          decide: (holder, proposals) => (isAway ? away : history.decide(holder, proposals)),
          record: (endings) => (isAway ? away : history.record(endings)),
          renew: (holder, runs) => (isAway ? away : history.renew(holder, runs))
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

  test("leaves behind what does not let itself be interrupted, and goes on", () =>
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
