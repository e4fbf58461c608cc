import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Latch } from "effect"
import { TestClock } from "effect/testing"
import { within } from "../../src/streams/Within.ts"

const limited = within("1 second", () => Effect.succeed("late"))

describe("An end to waiting", () => {
  it.effect("changes nothing of what ends in time", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* limited(Effect.succeed("done")), "done")
      assert.strictEqual(yield* Effect.flip(limited(Effect.fail("failed"))), "failed")
      const later = yield* Effect.forkChild(limited(Effect.as(Effect.sleep("900 millis"), "done")))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(later), "done")
    })
  )

  it.effect("comes also when what is waited for cannot be interrupted, which is told all the same", () =>
    Effect.gen(function* () {
      const latch = yield* Latch.make(false)
      let isInterrupted = false
      const stubborn = Effect.uninterruptible(latch.await).pipe(
        Effect.andThen(Effect.never),
        Effect.onInterrupt(() =>
          Effect.sync(() => {
            isInterrupted = true
          })
        )
      )
      const waiting = yield* Effect.forkChild(limited(stubborn))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(waiting), "late")
      assert.isFalse(isInterrupted)
      yield* latch.open
      yield* TestClock.adjust("1 millis")
      assert.isTrue(isInterrupted)
    })
  )
})
