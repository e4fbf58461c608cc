import { assert, describe } from "@effect/vitest"
import { Array as Arr, Clock, Deferred, Effect, Schema, Stream } from "effect"
import { Broker, BrokerError, BrokerRefused } from "../../src/domain/ports/Broker.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import * as Worker from "../../src/streams/Worker.ts"
import { text } from "../support/Messages.ts"
import {
  away,
  broken,
  deadLetter,
  deadLetters,
  depth,
  elapse,
  json,
  logs,
  onStage,
  seen,
  send,
  settled,
  start,
  watch
} from "../support/TopicStage.ts"

describe("A topic worker whose handler fails", () => {
  const policies = {
    "1, 2 and 4 s by default": { retry: undefined, seconds: [0, 1, 3, 7] },
    "1, 2 s linearly": { retry: RetryPolicy.linear({ maxRetries: 2 }), seconds: [0, 1, 3] },
    "5, 5 s fixed": { retry: RetryPolicy.fixed({ maxRetries: 2 }), seconds: [0, 5, 10] },
    "nothing, not at all": { retry: RetryPolicy.none, seconds: [0] }
  }
  for (const [name, { retry, seconds }] of Object.entries(policies)) {
    onStage(`tries again after ${name}, then dead-letters and calls onError once`, () =>
      Effect.gen(function* () {
        const runs: Array<number> = []
        const errors: Array<unknown> = []
        const handlers = {
          process: () =>
            Effect.flatMap(Clock.currentTimeMillis, (now) => {
              runs.push(now / 1000)
              return Effect.fail(`failure ${runs.length}`)
            }),
          onError: (input: unknown, error: unknown) => Effect.sync(() => errors.push([input, error]))
        }
        const { endings } = yield* start(Worker.make("w", { topic: "in", retry }, Effect.succeed(handlers)))
        yield* send("in", '{"n":1.10}', { id: "i", headers: { trace: "t" } })
        for (let turn = 0; turn < 30; turn++) yield* elapse("500 millis")
        assert.deepStrictEqual(runs, seconds)
        const retries = seconds.length - 1
        assert.deepStrictEqual(endings, [...Arr.makeBy(retries, () => "retried").slice(0, retries), "dead_lettered"])
        assert.deepStrictEqual(errors, [[{ n: 1.1 }, `failure ${seconds.length}`]])
        const letter = yield* deadLetter("in")
        const error = `failure ${seconds.length}`
        assert.strictEqual(
          text(letter.body),
          `{"original":{"n":1.10},"error":"${error}","worker":"w","retries":${retries}}`
        )
        assert.deepStrictEqual(letter.headers, {
          trace: "t",
          "x-paystream-reason": "retries_exhausted",
          "x-paystream-error": error,
          "x-paystream-source": "in",
          "x-paystream-time": new Date((seconds.at(-1) ?? 0) * 1000).toISOString(),
          "x-paystream-attempt": 1,
          "x-paystream-group": "w",
          "x-paystream-message-id": "i"
        })
        assert.strictEqual(letter.id, "i/w.dlq")
      })
    )
  }

  onStage("handles others while one waits for its retry", () =>
    Effect.gen(function* () {
      const done: Array<string> = []
      const worker = Worker.make("w", { topic: "in", input: Schema.String }, (input) =>
        Effect.suspend(() => {
          done.push(input)
          return input === "bad" && done.length === 1 ? Effect.fail("no") : Effect.void
        })
      )
      yield* start(worker)
      for (const input of ["bad", "one", "two"]) yield* send("in", `"${input}"`, { headers: { key: "same" } })
      assert.deepStrictEqual(done, ["bad", "one", "two"])
      yield* elapse("1 second")
      assert.deepStrictEqual(done, ["bad", "one", "two", "bad"])
    })
  )

  onStage("tries again what asks for it, without using up an attempt", () =>
    Effect.gen(function* () {
      let runs = 0
      const worker = Worker.make("w", { topic: "in", retry: RetryPolicy.fixed({ maxRetries: 1 }) }, () =>
        runs++ < 10 ? Worker.snooze("1 minute") : Effect.fail("no")
      )
      const { endings } = yield* start(worker)
      yield* send("in", "1")
      for (let minute = 1; minute <= 10; minute++) {
        yield* elapse("59 seconds")
        assert.strictEqual(runs, minute)
        yield* elapse("1 second")
        assert.strictEqual(runs, minute + 1)
      }
      yield* elapse("5 seconds")
      assert.deepStrictEqual(endings, [...Arr.makeBy(10, () => "snoozed"), "retried", "dead_lettered"])
      assert.deepStrictEqual((yield* deadLetters("in")).map(json), [
        { original: 1, error: "no", worker: "w", retries: 1 }
      ])
    })
  )

  onStage("counts what asks for no time at all as a failure, and lets what asks for now wait a little", () =>
    Effect.gen(function* () {
      let runs = 0
      const delays = [0, "-1 hour", Number.NaN, Number.POSITIVE_INFINITY] as const
      const worker = Worker.make("w", { topic: "in", retry: RetryPolicy.fixed({ maxRetries: 2 }) }, () =>
        Worker.snooze(delays[runs++] ?? 0)
      )
      const { endings } = yield* start(worker)
      yield* send("in", "1")
      yield* elapse("99 millis")
      assert.strictEqual(runs, 1)
      for (let second = 0; second < 12; second++) yield* elapse("1 second")
      assert.deepStrictEqual(endings.slice(0, 4), ["snoozed", "snoozed", "retried", "retried"])
      assert.isTrue(logs.some((line) => line.includes("Worker.snooze takes a finite duration, got NaN")))
    })
  )

  onStage("dead-letters at once what asks for it", () =>
    Effect.gen(function* () {
      const errors: Array<unknown> = []
      const worker = Worker.make(
        "w",
        { topic: "in" },
        Effect.succeed({
          process: () => Worker.reject("not ours"),
          onError: (_input, error) => Effect.sync(() => errors.push(error))
        })
      )
      yield* start(worker)
      yield* send("in", "1")
      const letter = yield* deadLetter("in")
      assert.strictEqual(letter.headers["x-paystream-reason"], "rejected")
      assert.strictEqual(text(letter.body), '{"original":1,"error":"not ours","worker":"w","retries":0}')
      assert.isTrue(errors.length === 1 && errors[0] instanceof Worker.Reject)
    })
  )

  const defects: Record<string, (runs: number) => Effect.Effect<void>> = {
    "a defect": () => Effect.die(new Error("boom")),
    "an exception": () => {
      throw new Error("boom")
    },
    "an interruption of its own": () => Effect.interrupt
  }
  for (const [name, fail] of Object.entries(defects)) {
    onStage(`counts ${name} as an attempt, and goes on with the neighbours`, () =>
      Effect.gen(function* () {
        const done: Array<string> = []
        const neighbour = yield* Deferred.make<void>()
        const worker = Worker.make("w", { topic: "in", concurrency: 2, input: Schema.String }, (input) => {
          if (input === "bad") return fail(1)
          return Effect.andThen(
            Deferred.await(neighbour),
            Effect.sync(() => void done.push(input))
          )
        })
        const { endings, fiber } = yield* start(worker)
        for (const input of ["slow", "bad"]) yield* send("in", `"${input}"`)
        yield* elapse("1 hour")
        yield* Deferred.succeed(neighbour, undefined)
        yield* settled
        assert.deepStrictEqual(done, ["slow"])
        assert.deepStrictEqual(endings, ["retried", "retried", "retried", "dead_lettered", "done"])
        assert.isUndefined(fiber.pollUnsafe())
        const letter = yield* deadLetter("in")
        assert.strictEqual(letter.headers["x-paystream-reason"], "retries_exhausted")
      })
    )
  }

  onStage("logs the stack of a defect", () =>
    Effect.gen(function* () {
      yield* start(Worker.make("w", { topic: "in", retry: RetryPolicy.none }, () => Effect.die(new Error("boom"))))
      yield* send("in", "1")
      const [line] = logs.filter((one) => one.includes("level=ERROR"))
      assert.match(line ?? "", /worker w: a defect in the handler.*boom.*TopicWorkerFailures/s)
    })
  )

  onStage("does not count the broker's trouble as an attempt, and has nothing lost when it is over", () =>
    Effect.gen(function* () {
      let isAway = true
      const done: Array<unknown> = []
      const faulty = yield* broken((broker) => ({
        publishToTopics: (messages) =>
          // dead letters can be published all the while
          Effect.suspend(() =>
            isAway && messages.some(({ topic }) => topic === "out")
              ? Effect.fail(away)
              : broker.publishToTopics(messages)
          )
      }))
      const worker = Worker.make("w", { topic: "in" }, (input) =>
        Effect.andThen(
          Worker.publish("out", input),
          Effect.sync(() => void done.push(input))
        )
      )
      yield* Effect.provideService(start(worker), Broker, faulty)
      for (const body of ["1", "2", "3"]) yield* send("in", body)
      yield* elapse("1 hour")
      assert.deepStrictEqual(done, [])
      isAway = false
      yield* elapse("2 minutes")
      assert.deepStrictEqual([done, yield* depth("in.dlq"), yield* depth("in.w")], [[1, 2, 3], 0, 0])
    })
  )

  onStage("counts as its own failure what the broker refuses to take from it", () =>
    Effect.gen(function* () {
      const refused = new BrokerError({ reason: new BrokerRefused({ detail: "no such name" }) })
      const refusing = yield* broken((broker) => ({
        publishToTopics: (messages) =>
          messages.some(({ topic }) => topic === "odd name") ? Effect.fail(refused) : broker.publishToTopics(messages)
      }))
      const worker = Worker.make("w", { topic: "in", retry: RetryPolicy.none }, () => Worker.publish("odd name", 1))
      const { fiber } = yield* Effect.provideService(start(worker), Broker, refusing)
      yield* send("in", "1")
      assert.isUndefined(fiber.pollUnsafe())
      assert.deepStrictEqual((yield* deadLetters("in")).map(json), [
        { original: 1, error: "no such name", worker: "w", retries: 0 }
      ])
    })
  )
})

describe("A message that becomes another's while its handler is at work", () => {
  const outcomes: Record<string, Effect.Effect<unknown, unknown>> = {
    succeeds: Effect.succeed({ ok: true }),
    fails: Effect.fail("no"),
    rejects: Worker.reject("no")
  }
  for (const [name, outcome] of Object.entries(outcomes)) {
    onStage(`leaves nothing behind when its handler ${name}: the other has it from the beginning`, () =>
      Effect.gen(function* () {
        let isLost = false
        const broker = yield* broken(({ deliveries }) => ({
          deliveries: (...all) => Stream.map(deliveries(...all), (one) => ({ ...one, isRevoked: () => isLost })),
          settle: () => Effect.void
        }))
        yield* watch("out")
        const lose = Effect.sync(() => {
          isLost = true
        })
        const worker = Worker.make("w", { topic: "in", outputTopic: "out" }, () => Effect.andThen(lose, outcome))
        const { endings } = yield* Effect.provideService(start(worker), Broker, broker)
        yield* send("in", "1", { id: "i" })
        yield* elapse("1 hour")
        assert.deepStrictEqual(endings, ["returned"])
        assert.deepStrictEqual([...(yield* seen("out")), ...(yield* deadLetters("in"))], [])
      })
    )
  }
})
