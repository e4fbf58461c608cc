import { assert, describe, it } from "@effect/vitest"
import { Duration, Schema } from "effect"
import { snoozeDelay } from "../../src/domain/SnoozeDelay.ts"

describe("A snooze", () => {
  it.prop(
    "waits as long as was asked for, and never so shortly that it goes round at once",
    { millis: Schema.Finite.check(Schema.isBetween({ minimum: -1e15, maximum: 1e15 })) },
    ({ millis }) => {
      const waits = Duration.toMillis(snoozeDelay(millis))
      assert.isTrue(waits >= 100 && waits >= Math.trunc(millis), `${millis} ms asked, ${waits} ms waited`)
    },
    { arbitrary: { runs: 1000 } }
  )

  for (const input of [Number.NaN, Number.POSITIVE_INFINITY, "soon"] as const) {
    it(`of ${input} is refused`, () => {
      // @ts-expect-error "soon" is no duration: not everybody has a compiler
      assert.throws(() => snoozeDelay(input), `Worker.snooze takes a finite duration, got ${input}`)
    })
  }
})
