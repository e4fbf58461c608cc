/** Keys that want to be looked at. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, References } from "effect"
import { TestClock } from "effect/testing"
import * as WorkQueue from "../../src/operator/WorkQueue.ts"

/** Whether there is something to take now. */
const takeNow = (queue: WorkQueue.WorkQueue) =>
  Effect.gen(function* () {
    const taking = yield* Effect.forkChild(queue.take, { startImmediately: true })
    yield* TestClock.adjust(0)
    const taken = taking.pollUnsafe()
    if (taken === undefined) yield* Fiber.interrupt(taking)
    return taken === undefined ? undefined : yield* taken
  })

describe("The work queue", () => {
  it.effect("gives a key once, however often it was added", () =>
    Effect.gen(function* () {
      const queue = yield* WorkQueue.make
      yield* Effect.forEach(["a", "b", "a", "a"], queue.add)
      assert.deepStrictEqual(
        [yield* takeNow(queue), yield* takeNow(queue), yield* takeNow(queue)],
        ["a", "b", undefined]
      )
    })
  )

  it.effect("gives a key to one taker at a time, and once more if it was added meanwhile", () =>
    Effect.gen(function* () {
      const queue = yield* WorkQueue.make
      yield* queue.add("a")
      assert.strictEqual(yield* takeNow(queue), "a")
      yield* Effect.forEach(["a", "a"], queue.add)
      assert.isUndefined(yield* takeNow(queue))
      yield* queue.done("a")
      assert.strictEqual(yield* takeNow(queue), "a")
      yield* queue.done("a")
      assert.isUndefined(yield* takeNow(queue))
    })
  )

  it.effect("gives a key to one taker at a time, though all who add and take have to wait between any two steps", () =>
    Effect.gen(function* () {
      const queue = yield* WorkQueue.make
      const taken = new Set<string>()
      const taker = Effect.gen(function* () {
        for (let turn = 0; turn < 50; turn += 1) {
          const key = yield* queue.take
          assert.isFalse(taken.has(key), `${key} has two takers`)
          taken.add(key)
          yield* Effect.yieldNow
          taken.delete(key)
          yield* queue.done(key)
        }
      })
      const adder = Effect.forEach(
        Array.from({ length: 200 }, (_, index) => `${index % 3}`),
        queue.add,
        { discard: true }
      )
      const takers = yield* Effect.forkChild(Effect.all([taker, taker, taker], { concurrency: "unbounded" }))
      while (takers.pollUnsafe() === undefined)
        yield* Effect.all([adder, adder, adder], { concurrency: "unbounded", discard: true })
      yield* Fiber.join(takers)
    }).pipe(Effect.provideService(References.MaxOpsBeforeYield, 3))
  )

  it.effect("adds a key after a while, by the latest wish", () =>
    Effect.gen(function* () {
      const queue = yield* WorkQueue.make
      yield* queue.addAfter("a", "1 minute")
      yield* queue.addAfter("a", "10 seconds")
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(yield* takeNow(queue))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* takeNow(queue), "a")
      yield* queue.done("a")
      yield* TestClock.adjust("2 minutes")
      assert.isUndefined(yield* takeNow(queue))
    })
  )
})
