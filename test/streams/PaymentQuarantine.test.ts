/** A payment in whose midst processes die is left alone, and waits for an operator. */
import { assert, describe } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { CrashMarks } from "../../src/domain/ports/CrashMarks.ts"
import * as MemoryCrashMarks from "../../src/layers/memory/MemoryCrashMarks.ts"
import { changeStored } from "../../src/streams/PaymentChanges.ts"
import { processPayment } from "../../src/streams/PaymentProcessor.ts"
import { type Looks, noLooks, swept } from "../../src/streams/PaymentSweep.ts"
import { Suspects } from "../../src/streams/Suspects.ts"
import { ask, listening, options, stateOf, sweeping, test } from "../support/PaymentGround.ts"

const sweep = (looks: Looks = noLooks()) => swept(sweeping, looks)

describe("A payment that its process dies of", () => {
  const suspects = Layer.provideMerge(
    Suspects.layer({ maxCrashes: 3, patience: Duration.minutes(1) }),
    MemoryCrashMarks.layer
  )

  /** What so many deaths of a process leave behind. */
  const died = (identity: string, times: number) =>
    Effect.replicateEffect(
      CrashMarks.use((marks) => marks.begin({ consumer: "payment sweep", identity })),
      times
    )

  test("is tried while its marks do not tell that it was alone so often", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      // The first time others were in hand as well.
      yield* died(id, 3)
      yield* TestClock.adjust("15 seconds")
      yield* sweep()
      assert.strictEqual((yield* stateOf(id)).status, "succeeded")
      assert.strictEqual(yield* CrashMarks.use((marks) => marks.begun({ consumer: "payment sweep", identity: id })), 0)
    }).pipe(Effect.provide(suspects)))

  test("is left alone after that, told once, and taken up again when an operator says so", () =>
    Effect.gen(function* () {
      const [id, sound] = [yield* ask(), yield* ask({ number: 2 })]
      yield* died(id, 4)
      yield* TestClock.adjust("15 seconds")
      const looks = noLooks()
      assert.deepStrictEqual(yield* listening(sweep(looks)), [
        "Error a payment is in quarantine, its process died 3 times: see `sagas show`, it waits for `sagas resume`"
      ])
      assert.deepInclude(yield* stateOf(id), { status: "requested", quarantine: "its process died 3 times" })
      assert.strictEqual((yield* stateOf(sound)).status, "succeeded")
      assert.strictEqual((yield* processPayment(id, options))._tag, "Waiting")
      yield* TestClock.adjust("15 seconds")
      assert.deepStrictEqual(yield* listening(sweep(looks)), [])
      yield* TestClock.adjust("15 minutes")
      assert.deepStrictEqual(yield* listening(sweep(looks)), [
        "Error a payment does not get on by itself: see `sagas show`"
      ])
      assert.strictEqual((yield* stateOf(id)).status, "requested")
      yield* changeStored(id, { _tag: "LiftQuarantine" })
      yield* TestClock.adjust("15 seconds")
      yield* sweep(looks)
      assert.strictEqual((yield* stateOf(id)).status, "succeeded")
    }).pipe(Effect.provide(suspects)))
})
