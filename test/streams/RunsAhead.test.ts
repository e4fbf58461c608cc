/** Runs that are held a moment before their instant: what may happen in between, and what becomes of them. */
import { assert, describe } from "@effect/vitest"
import { Clock, Duration, Effect } from "effect"
import { JobHistory } from "../../src/domain/ports/JobHistory.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import * as Job from "../../src/streams/Job.ts"
import { added, elapse, everyMinute, historyOf, noting, startScheduler, storeAway, test } from "../support/JobStage.ts"

/** From the start to the midst of the moment before the first instant. */
const untilJustBefore = elapse("59 seconds")

/** A scheduler of a job that was added, and what that has done: when, and with which payload. */
const startAdded = Effect.gen(function* () {
  const history = yield* JobHistory
  const done: Array<string> = []
  yield* history.add(added)
  yield* startScheduler([], {
    added: ({ name, publishes }) => ({
      name,
      timeout: Duration.seconds(10),
      retry: RetryPolicy.none,
      run: Effect.clockWith((clock) =>
        Effect.sync(() => void done.push(`${clock.currentTimeMillisUnsafe() / 1000} ${publishes?.payload}`))
      )
    })
  })
  return { history, done }
})

/** A scheduler of a job that is paused when its first run is held, and when that has run. */
const pausedJustBefore = Effect.gen(function* () {
  const history = yield* JobHistory
  const { job, ran } = noting()
  yield* startScheduler([job])
  yield* untilJustBefore
  yield* history.pause("noting", true)
  return { history, ran }
})

describe("A run that is held ahead", () => {
  test("is decided before its instant, begins at it, and is kept with when it began", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      const decided: Array<number> = []
      const { job, ran } = noting(everyMinute, Effect.sleep("2 seconds"))
      yield* startScheduler([job], {
        history: {
          ...history,
          decide: (holder, proposals) =>
            Effect.clockWith((clock) => {
              decided.push(clock.currentTimeMillisUnsafe() / 1000)
              return history.decide(holder, proposals)
            })
        }
      })
      yield* untilJustBefore
      assert.deepStrictEqual([decided, ran, yield* historyOf("noting")], [[58.5], [], []])
      yield* elapse("65 seconds")
      assert.deepStrictEqual(
        [decided, ran],
        [
          [58.5, 118.5],
          [60, 120]
        ]
      )
      const [last] = yield* history.lastRuns(["noting"], 1)
      assert.deepInclude(last, { scheduledFor: 120_000, startedAt: 120_000, finishedAt: 122_000, attempt: 1 })
    }))

  test("is not begun if its job is paused by then, and the next one is", () =>
    Effect.gen(function* () {
      const { history, ran } = yield* pausedJustBefore
      yield* elapse("2 seconds")
      yield* history.pause("noting", false)
      yield* elapse("60 seconds")
      assert.deepStrictEqual(yield* historyOf("noting"), ["60 skipped  0", "120 succeeded  1"])
      assert.deepStrictEqual(ran, [120])
      const [, skipped] = yield* history.lastRuns(["noting"], 2)
      assert.strictEqual(skipped?.error, "withdrawn")
    }))

  test("is begun if its job goes on by then", () =>
    Effect.gen(function* () {
      const { history, ran } = yield* pausedJustBefore
      yield* elapse("500 millis")
      yield* history.pause("noting", false)
      yield* elapse("2 seconds")
      assert.deepStrictEqual([ran, yield* historyOf("noting")], [[60], ["60 succeeded  1"]])
    }))

  test("is not begun if its job is removed by then, or has another schedule", () =>
    Effect.gen(function* () {
      const { done, history } = yield* startAdded
      yield* untilJustBefore
      yield* history.add({ ...added, schedule: "30 * * * * *" })
      yield* elapse("60 seconds")
      assert.deepStrictEqual(done, ["90 1"])
      yield* elapse("30 seconds")
      yield* history.remove("added")
      yield* elapse("60 seconds")
      assert.deepStrictEqual(yield* historyOf("added"), ["60 skipped  0", "90 succeeded  1", "150 skipped  0"])
    }))

  test("is begun as its job is by then, once, where the schedule still has its instant", () =>
    Effect.gen(function* () {
      const { done, history } = yield* startAdded
      yield* elapse("58500 millis")
      yield* history.add({ ...added, schedule: "* * * * * *", publishes: { topic: "bills", payload: "2" } })
      yield* elapse("3 seconds")
      assert.deepStrictEqual(done, ["59 2", "60 2", "61 2"])
    }))

  for (const [overlap, expected] of [
    ["skip", ["59 succeeded  1", "60 skipped  0"]],
    ["queue", ["59 succeeded  1", "60 succeeded  1"]]
  ] as const)
    test(`does not overlap with a run that was asked for meanwhile, by its policy: ${overlap}`, () =>
      Effect.gen(function* () {
        const { job, ran } = noting({ ...everyMinute, overlap }, Effect.sleep("5 seconds"))
        const { ask } = yield* startScheduler([job])
        yield* untilJustBefore
        yield* ask(job)
        yield* elapse("20 seconds")
        assert.deepStrictEqual(yield* historyOf("noting"), [...expected])
        assert.deepStrictEqual(ran, overlap === "skip" ? [59] : [59, 64])
      }))

  test("begins where a run that was asked for meanwhile has ended", () =>
    Effect.gen(function* () {
      const { job, ran } = noting(everyMinute, Effect.sleep("500 millis"))
      const { ask } = yield* startScheduler([job])
      yield* untilJustBefore
      yield* ask(job)
      yield* elapse("5 seconds")
      assert.deepStrictEqual(ran, [59, 60])
      assert.deepStrictEqual(yield* historyOf("noting"), ["59 succeeded  1", "60 succeeded  1"])
    }))

  for (const [longer, expected] of [
    ["1500 millis", "60 succeeded  1"],
    ["5 seconds", "60 skipped  0"]
  ] as const)
    test(`has no place before its instant, and waits a second for one: taken for ${longer}`, () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const { job, ran } = noting()
        const other = Job.make("other", { schedule: "@yearly" }, Effect.sleep(longer))
        const { ask } = yield* startScheduler([job, other], { maxConcurrent: 1 })
        yield* untilJustBefore
        yield* ask(other)
        yield* elapse("5 seconds")
        assert.deepStrictEqual(yield* historyOf("noting"), [expected])
        assert.deepStrictEqual(ran, expected.includes("skipped") ? [] : [60.5])
        const [run] = yield* history.lastRuns(["noting"], 1)
        assert.strictEqual(run?.error, expected.includes("skipped") ? "limit" : undefined)
      }))

  test("is given back by a stop, and begun by another at its instant, as the same attempt", () =>
    Effect.gen(function* () {
      const attempts: Array<number | undefined> = []
      const work = Effect.flatMap(Job.CurrentRun, (run) => Effect.sync(() => void attempts.push(run?.attempt)))
      const { job, ran } = noting(everyMinute, work)
      const first = yield* startScheduler([job], { replica: "first" })
      yield* elapse("57 seconds")
      yield* startScheduler([job], { replica: "second" })
      yield* elapse("2 seconds")
      yield* first.stop
      yield* elapse("2 seconds")
      assert.deepStrictEqual([ran, attempts], [[60], [1]])
      const [run] = yield* JobHistory.use((history) => history.lastRuns(["noting"], 1))
      assert.deepInclude(run, { attempt: 1, replica: "second", outcome: "succeeded" })
    }))

  test("is taken over when its holder is gone, once its lease from its instant on is over", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      const { job, ran } = noting()
      const first = yield* startScheduler([job], { replica: "first", history: { ...history, record: () => storeAway } })
      yield* untilJustBefore
      yield* first.kill
      yield* startScheduler([job], { replica: "second" })
      yield* elapse("15 seconds")
      assert.deepStrictEqual(ran, [])
      yield* elapse("5 seconds")
      assert.lengthOf(ran, 1)
      assert.deepStrictEqual(yield* historyOf("noting"), ["60 succeeded  2"])
    }))

  for (const wakes of [74, 90])
    test(`does not begin where its holder is away from before its instant until ${wakes} seconds`, () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const runs: Array<string> = []
        const work = (replica: string) =>
          Job.make(
            "noting",
            everyMinute,
            Effect.flatMap(Job.CurrentRun, (run) => Effect.sync(() => void runs.push(`${replica} ${run?.attempt}`)))
          )
        // It hears what it asked for at the instant long after.
        const late = Effect.delay(history.overlapping, `${wakes - 60} seconds`)
        yield* startScheduler([work("late")], { history: { ...history, overlapping: late } })
        yield* elapse("57 seconds")
        yield* startScheduler([work("other")], { history: { ...history, decide: () => storeAway } })
        yield* elapse("40 seconds")
        // Before another has taken it over it is given back, as never begun.
        assert.lengthOf(runs, 1)
        assert.match(runs[0] ?? "", wakes === 74 ? / 1$/ : /^other 2$/)
      }))

  test("does not begin before its instant where its holder's clock goes wrong", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      const clock = yield* Clock.Clock
      let wrongMillis = 0
      const now = () => clock.currentTimeMillisUnsafe() + wrongMillis
      const off: Clock.Clock = { ...clock, currentTimeMillisUnsafe: now, currentTimeMillis: Effect.sync(now) }
      const inTime = <A, E>(effect: Effect.Effect<A, E>) => Effect.provideService(effect, Clock.Clock, clock)
      const ran: Array<number> = []
      const asked: Array<number> = []
      const job = Job.make(
        "noting",
        everyMinute,
        Effect.sync(() => void ran.push(clock.currentTimeMillisUnsafe() / 1000))
      )
      const other = Job.make("other", { schedule: "@yearly" }, Effect.void)
      const store: JobHistory["Service"] = {
        ...history,
        register: (jobs) => inTime(history.register(jobs)),
        jobs: (since) => inTime(history.jobs(since)),
        decide: (holder, proposals) => inTime(history.decide(holder, proposals)),
        takeWaiting: (holder, jobs, limit) => inTime(history.takeWaiting(holder, jobs, limit)),
        takeNow: (holder, name, at) => inTime(history.takeNow(holder, name, at)),
        renew: (holder, runs) => inTime(history.renew(holder, runs)),
        record: (endings) => inTime(history.record(endings)),
        overlapping: Effect.tap(inTime(history.overlapping), () =>
          Effect.sync(() => void asked.push(clock.currentTimeMillisUnsafe() / 1000))
        )
      }
      const starting = startScheduler([job, other], { history: store })
      const { ask } = yield* Effect.provideService(starting, Clock.Clock, off)
      yield* elapse("59500 millis")
      wrongMillis = 700
      // What ends now has it look again at what is due.
      yield* ask(other)
      yield* elapse("5 seconds")
      assert.deepStrictEqual([asked, ran], [[59.5, 60], [60]])
    }))
})
