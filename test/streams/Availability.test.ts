import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import * as Availability from "../../src/streams/Availability.ts"

const gone = { isRetryable: true, message: "connection terminated" }

describe("what is said of a service", () => {
  it.effect("an answer to what was asked before it went away does not bring it back", () =>
    Effect.gen(function* () {
      const { current, watch } = Availability.make("PostgreSQL", "127.0.0.1:5432")
      const answer = yield* Deferred.make<void>()
      const asked = yield* Effect.forkChild(watch(Deferred.await(answer)), { startImmediately: true })
      yield* Effect.exit(watch(Effect.fail(gone)))
      yield* Deferred.succeed(answer, undefined)
      yield* Fiber.join(asked)
      assert.strictEqual(yield* current, "away")
      yield* watch(Effect.void)
      assert.strictEqual(yield* current, "connected")
    })
  )

  it.effect(
    "a failure that is no failure of the service changes nothing, and neither does an answer without sign",
    () =>
      Effect.gen(function* () {
        const { current, watch } = Availability.make("PostgreSQL", "127.0.0.1:5432")
        assert.isTrue(Exit.isFailure(yield* Effect.exit(watch(Effect.fail({ ...gone, isRetryable: false })))))
        assert.strictEqual(yield* watch(Effect.succeed("half"), { back: (answer) => answer === "whole" }), "half")
        assert.strictEqual(yield* current, "starting")
        yield* Effect.exit(watch(Effect.fail({ ...gone, isRetryable: false }), { away: () => true }))
        assert.strictEqual(yield* current, "away")
      })
  )
})
