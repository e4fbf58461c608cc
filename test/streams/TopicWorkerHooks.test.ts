import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import * as Worker from "../../src/streams/Worker.ts"
import { depth, elapse, logs, onStage, seen, send, start, stop, watch } from "../support/TopicStage.ts"

describe("A topic worker's hooks", () => {
  onStage("are called with the input and what came of it, after the output is confirmed", () =>
    Effect.gen(function* () {
      yield* watch("out")
      const calls: Array<unknown> = []
      const handlers = {
        process: (input: unknown) => Effect.succeed([input, "handled"]),
        onSuccess: (input: unknown, result: unknown) =>
          Effect.map(depth("out.watch"), (published) => calls.push([input, result, published]))
      }
      yield* start(Worker.make("w", { topic: "in", outputTopic: "out" }, Effect.succeed(handlers)))
      yield* send("in", "1")
      assert.deepStrictEqual(calls, [[1, [1, "handled"], 1]])
    })
  )

  const failures: Record<string, () => Effect.Effect<never, string>> = {
    fail: () => Effect.fail("hook"),
    die: () => Effect.die("hook"),
    throw: () => {
      throw new Error("hook")
    },
    "interrupt themselves": () => Effect.interrupt
  }
  for (const [name, hook] of Object.entries(failures)) {
    onStage(`change nothing when they ${name}, and are logged`, () =>
      Effect.gen(function* () {
        yield* watch("out")
        const handlers = {
          process: (input: unknown) => (input === 1 ? Effect.succeed("ok") : Effect.fail("no")),
          onSuccess: hook,
          onError: hook
        }
        const options = { topic: "in", outputTopic: "out", retry: RetryPolicy.none }
        const { endings } = yield* start(Worker.make("w", options, Effect.succeed(handlers)))
        yield* send("in", "1")
        yield* send("in", "2")
        assert.deepStrictEqual(endings, ["done", "dead_lettered"])
        assert.deepStrictEqual([yield* depth("out.watch"), yield* depth("in.dlq"), yield* depth("in.w")], [1, 1, 0])
        const told = logs.filter((line) => /its on(Success|Error) failed/.test(line))
        assert.strictEqual(told.length, 2)
      })
    )
  }

  const endless: Record<string, Effect.Effect<never>> = {
    "never end": Effect.never,
    "never end, and cannot be interrupted": Effect.uninterruptible(Effect.never)
  }
  for (const [name, hook] of Object.entries(endless)) {
    onStage(`change nothing when they ${name}: they are given up after their time, and that is logged`, () =>
      Effect.gen(function* () {
        const handlers = {
          process: (input: unknown) => (input === 1 ? Effect.void : Effect.fail("no")),
          onSuccess: () => hook,
          onError: () => hook
        }
        const options = { topic: "in", retry: RetryPolicy.none, hookTimeout: "3 seconds" } as const
        const { endings } = yield* start(Worker.make("w", options, Effect.succeed(handlers)))
        yield* send("in", "1")
        yield* send("in", "2")
        assert.deepStrictEqual(endings, [])
        yield* elapse("3 seconds")
        yield* elapse("3 seconds")
        assert.deepStrictEqual(endings, ["done", "dead_lettered"])
        assert.deepStrictEqual([yield* depth("in.dlq"), yield* depth("in.w")], [1, 0])
        for (const hook of ["onSuccess", "onError"])
          assert.isTrue(logs.some((line) => line.includes(`its ${hook} failed`) && line.includes("longer than 3s")))
      })
    )
  }

  onStage("hold up a stop for as long as they may take, and no longer", () =>
    Effect.gen(function* () {
      const handlers = { process: () => Effect.void, onSuccess: () => Effect.never }
      const { fiber } = yield* start(Worker.make("w", { topic: "in" }, Effect.succeed(handlers)))
      yield* send("in", "1")
      const stopping = yield* Effect.forkScoped(stop(fiber), { startImmediately: true })
      yield* elapse("9 seconds")
      assert.isUndefined(stopping.pollUnsafe())
      yield* elapse("1 second")
      assert.isDefined(stopping.pollUnsafe())
      assert.strictEqual(yield* depth("in.w"), 0)
    })
  )

  onStage("may publish, with ids of their own positions", () =>
    Effect.gen(function* () {
      yield* watch("out", "told")
      const handlers = { process: () => Effect.succeed(1), onSuccess: () => Worker.publish("told", 2) }
      yield* start(Worker.make("w", { topic: "in", outputTopic: "out" }, Effect.succeed(handlers)))
      yield* send("in", "1", { id: "i" })
      assert.deepStrictEqual(
        (yield* seen("told")).map(({ id }) => id),
        ["i/w.1"]
      )
    })
  )
})
