import { assert, describe, it } from "@effect/vitest"
import { Data, Effect, Exit, Fiber, Logger, Random, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import { Supervisor, supervised } from "../../src/streams/Supervisor.ts"

class Failure extends Data.TaggedError("Failure")<{ readonly isRetryable: boolean }> {}

const away = Effect.fail(new Failure({ isRetryable: true }))
const refused = Effect.fail(new Failure({ isRetryable: false }))

/** Runs a supervised stream that does at its n-th start what the n-th of `runs` says; the last says it for ever. */
const supervise = Effect.fnUntraced(function* <A>(runs: ReadonlyArray<Stream.Stream<A, Failure>>) {
  let starts = 0
  const received: Array<A> = []
  const stream = Stream.suspend(() => runs[Math.min(starts++, runs.length - 1)] ?? Stream.empty)
  const run = Stream.runForEach(supervised("test")(stream), (element) => Effect.sync(() => void received.push(element)))
  const fiber = yield* Effect.forkChild(run, { startImmediately: true })
  const state = Effect.map(
    Effect.flatMap(Supervisor, ({ states }) => states),
    (states) => states.get("test")
  )
  return { fiber, received, state, starts: () => starts }
})

const it_ = (name: string, test: () => Effect.Effect<void, Failure, Shutdown | Supervisor>) =>
  it.effect(name, () =>
    test().pipe(Effect.provide([Supervisor.layer, Shutdown.layer, Logger.layer([])]), Random.withSeed("supervisor"))
  )

describe("A supervised stream", () => {
  it_("gives its elements, and is done when it ends", () =>
    Effect.gen(function* () {
      const { fiber, received, state } = yield* supervise([Stream.make(1, 2)])
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(received, [1, 2])
      assert.strictEqual(yield* state, "done")
    })
  )

  it_("starts again after a failure, not before 0.8 seconds and within 1.2", () =>
    Effect.gen(function* () {
      const { fiber, received, starts, state } = yield* supervise([Stream.fromEffect(away), Stream.make(1)])
      yield* TestClock.adjust("790 millis")
      assert.strictEqual(starts(), 1)
      assert.strictEqual(yield* state, "restarting")
      yield* TestClock.adjust("420 millis")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual([starts(), received], [2, [1]])
    })
  )

  it_("waits twice as long each time, and a minute at most, for ever", () =>
    Effect.gen(function* () {
      const { fiber, starts } = yield* supervise([Stream.fromEffect(away)])
      for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]) {
        const before = starts()
        yield* TestClock.adjust(`${seconds * 1.2} seconds`)
        assert.isAtLeast(starts(), before + 1)
      }
      // 364 seconds at most until here, of waits that are 80 percent at least.
      assert.isBelow(starts(), 15)
      yield* Fiber.interrupt(fiber)
    })
  )

  it_("waits from one second again once an element came", () =>
    Effect.gen(function* () {
      const failing = Stream.fromEffect(away)
      const { fiber, starts } = yield* supervise([
        failing,
        failing,
        failing,
        failing,
        Stream.concat(Stream.make(1), failing)
      ])
      yield* TestClock.adjust("18 seconds")
      const before = starts()
      assert.isAtLeast(before, 5)
      yield* TestClock.adjust("1.2 seconds")
      assert.isAtLeast(starts(), before + 1)
      yield* Fiber.interrupt(fiber)
    })
  )

  it_("starts again after a defect too", () =>
    Effect.gen(function* () {
      const { fiber, received } = yield* supervise([Stream.die("a bug"), Stream.make(1)])
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(received, [1])
    })
  )

  it_("fails at once with what trying again cannot mend, and has failed", () =>
    Effect.gen(function* () {
      const { fiber, starts, state } = yield* supervise([Stream.fromEffect(refused)])
      assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.fail(new Failure({ isRetryable: false })))
      assert.deepStrictEqual([starts(), yield* state], [1, "failed"])
    })
  )

  it_("is interrupted without starting again", () =>
    Effect.gen(function* () {
      const { fiber, starts, state } = yield* supervise([Stream.never])
      assert.strictEqual(yield* state, "running")
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(starts(), 1)
    })
  )

  it_("is running again after a restart", () =>
    Effect.gen(function* () {
      const { fiber, state } = yield* supervise([Stream.fromEffect(away), Stream.never])
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* state, "running")
      yield* Fiber.interrupt(fiber)
    })
  )
})
