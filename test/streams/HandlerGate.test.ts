import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber } from "effect"
import * as HandlerGate from "../../src/streams/HandlerGate.ts"

const patience = Duration.minutes(1)

describe("Work beside others", () => {
  it("is begun and done at once while nobody is alone", () => {
    const { beside } = HandlerGate.make()
    assert.deepStrictEqual(
      beside(() => Effect.succeed(1)),
      Exit.succeed(1)
    )
  })

  it("that throws as it is begun has a defect", () => {
    const { beside } = HandlerGate.make()
    const thrown = beside(() => {
      throw new Error("a bug")
    })
    assert.isTrue(Exit.isExit(thrown) && Exit.hasDies(thrown))
  })

  it.effect("is not begun while one is alone, not even what would be done at once", () =>
    Effect.gen(function* () {
      const { alone, beside } = HandlerGate.make()
      const end = yield* Deferred.make<void>()
      const isAlone = yield* Deferred.make<boolean>()
      const lone = yield* Effect.forkChild(
        alone(patience, (turn) => Effect.andThen(Deferred.succeed(isAlone, turn.isAlone), Deferred.await(end)))
      )
      assert.isTrue(yield* Deferred.await(isAlone))
      let begun = 0
      const other = yield* Effect.forkChild(
        beside(() => {
          begun++
          return Effect.void
        })
      )
      yield* Effect.yieldNow
      assert.strictEqual(begun, 0)
      yield* Deferred.succeed(end, undefined)
      yield* Fiber.join(other)
      assert.strictEqual(begun, 1)
      yield* Fiber.join(lone)
    })
  )

  it.effect("is waited for by who wants to be alone, for as long as there is anything to wait for", () =>
    Effect.gen(function* () {
      const { alone, beside } = HandlerGate.make()
      const end = yield* Deferred.make<void>()
      const other = yield* Effect.forkChild(beside(() => Deferred.await(end)))
      const lone = yield* Effect.forkChild(alone(patience, ({ isAlone }) => Effect.succeed(isAlone)))
      yield* Effect.yieldNow
      assert.isUndefined(lone.pollUnsafe())
      yield* Deferred.succeed(end, undefined)
      assert.isTrue(yield* Fiber.join(lone))
      yield* Fiber.join(other)
    })
  )
})
