import { assert, describe } from "@effect/vitest"
import { Deferred, Duration, Effect, Metric } from "effect"
import { Broker } from "../../src/domain/ports/Broker.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import * as Worker from "../../src/streams/Worker.ts"
import { broken, elapse, onStage, send, settled, start } from "../support/TopicStage.ts"

/** What is measured of one worker; `labels` beside its name and topic. */
const measured = (worker: string, name: string, labels: Readonly<Record<string, string>> = {}) =>
  Effect.map(Metric.snapshot, (all) => {
    const wanted = { worker, topic: "in", ...labels }
    const found = all.filter(
      ({ attributes, id }) =>
        id === `paystream_worker_${name}` &&
        JSON.stringify(Object.entries(attributes ?? {}).sort()) === JSON.stringify(Object.entries(wanted).sort())
    )
    assert.isAtMost(found.length, 1)
    return found[0]?.state
  })

const counted = (worker: string, name: string, labels: Readonly<Record<string, string>>) =>
  Effect.map(measured(worker, name, labels), (state) => (state !== undefined && "count" in state ? state.count : 0))

const gauged = (worker: string, name: string) =>
  Effect.map(measured(worker, name), (state) => (state !== undefined && "value" in state ? state.value : undefined))

/** How many were timed, and the sum. */
const timed = (worker: string, name: string) =>
  Effect.map(measured(worker, name), (state) =>
    state !== undefined && "sum" in state ? [state.count, state.sum] : undefined
  )

describe("A topic worker's metrics", () => {
  onStage("count each message by how it ended, and each dead letter by its reason", () =>
    Effect.gen(function* () {
      const worker = Worker.make(
        "counts",
        { topic: "in", outputTopic: "out", retry: RetryPolicy.fixed({ maxRetries: 1, initialDelay: "1 second" }) },
        (input: unknown) => {
          if (input === "snooze") return Worker.snooze("1 hour")
          if (input === "reject") return Worker.reject("no")
          if (input === "fail") return Effect.fail("no")
          return Effect.succeed(input === "function" ? () => input : input)
        }
      )
      yield* start(worker)
      for (const body of ['"ok"', '"ok"', '"snooze"', '"reject"', '"fail"', '"function"', "{"]) yield* send("in", body)
      yield* elapse("1 second")
      for (const [ending, count] of Object.entries({ done: 2, snoozed: 1, retried: 1, dead_lettered: 4 }))
        assert.strictEqual(yield* counted("counts", "messages_total", { ending }), count, ending)
      for (const reason of ["rejected", "retries_exhausted", "invalid_output", "invalid_input"])
        assert.strictEqual(yield* counted("counts", "dead_letters_total", { reason }), 1, reason)
    })
  )

  onStage("time each handler, and each message from its publisher to its end, its retries included", () =>
    Effect.gen(function* () {
      let isFirst = true
      const retry = RetryPolicy.fixed({ maxRetries: 1, initialDelay: "10 seconds" })
      const worker = Worker.make("times", { topic: "in", retry }, () =>
        Effect.suspend(() => {
          const wasFirst = isFirst
          isFirst = false
          return Effect.delay(wasFirst ? Effect.fail("once") : Effect.void, "2 seconds")
        })
      )
      yield* start(worker)
      yield* send("in", "1", { publishedAtMillis: 0 })
      yield* elapse("2 seconds")
      assert.deepStrictEqual(yield* timed("times", "handling_seconds"), [1, 2])
      assert.isUndefined(yield* timed("times", "end_to_end_seconds"))
      yield* elapse("10 seconds")
      yield* elapse("2 seconds")
      assert.deepStrictEqual(yield* timed("times", "handling_seconds"), [2, 4])
      assert.deepStrictEqual(yield* timed("times", "end_to_end_seconds"), [1, 14])
      yield* send("in", "2")
      yield* elapse("2 seconds")
      assert.deepStrictEqual(yield* timed("times", "end_to_end_seconds"), [1, 14])
    })
  )

  onStage("tell what is in flight and what waits behind it", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      yield* start(Worker.make("gauges", { topic: "in" }, () => Deferred.await(gate)))
      for (let n = 0; n < 10; n++) yield* send("in", `${n}`)
      yield* elapse("15 seconds")
      // one is handled, seven have been fetched
      assert.deepStrictEqual([yield* gauged("gauges", "in_flight"), yield* gauged("gauges", "backlog")], [8, 2])
      yield* Deferred.succeed(gate, undefined)
      yield* settled
      yield* elapse("15 seconds")
      assert.deepStrictEqual([yield* gauged("gauges", "in_flight"), yield* gauged("gauges", "backlog")], [0, 0])
    })
  )

  onStage("count nothing as in flight that a broken connection has given back", () =>
    Effect.gen(function* () {
      let isFirst = true
      const broker = yield* broken(({ settle }) => ({
        settle: (batch) => {
          if (!isFirst) return settle(batch)
          isFirst = false
          return Effect.die(new Error("gone"))
        }
      }))
      yield* Effect.provideService(start(Worker.make("broken", { topic: "in" }, () => Effect.void)), Broker, broker)
      yield* send("in", "1")
      yield* elapse("1 minute")
      assert.strictEqual(yield* gauged("broken", "in_flight"), 0)
      assert.strictEqual(yield* counted("broken", "messages_total", { ending: "done" }), 1)
    })
  )

  onStage("keep the last backlog while the broker cannot be asked", () =>
    Effect.gen(function* () {
      let answers = [Effect.succeed(7), Effect.die(new Error("away")), Effect.succeed(3)]
      const broker = yield* broken(() => ({
        backlog: () =>
          Effect.suspend(() => {
            const [answer, ...others] = answers
            answers = others
            return answer ?? Effect.succeed(0)
          })
      }))
      yield* Effect.provideService(start(Worker.make("away", { topic: "in" }, () => Effect.void)), Broker, broker)
      for (const backlog of [7, 7, 3]) {
        assert.strictEqual(yield* gauged("away", "backlog"), backlog)
        yield* elapse("15 seconds")
      }
    })
  )

  onStage("count the hooks that failed or took too long", () =>
    Effect.gen(function* () {
      const handlers = {
        process: (input: unknown) => (input === 1 ? Effect.void : Effect.fail("no")),
        onSuccess: () => Effect.fail("hook"),
        onError: () => Effect.never
      }
      const options = { topic: "in", retry: RetryPolicy.none, hookTimeout: Duration.seconds(3) }
      yield* start(Worker.make("hooks", options, Effect.succeed(handlers)))
      yield* send("in", "1")
      yield* send("in", "2")
      yield* elapse("3 seconds")
      for (const hook of ["onSuccess", "onError"])
        assert.strictEqual(yield* counted("hooks", "hook_failures_total", { hook }), 1, hook)
    })
  )
})
