/** What people read of jobs and their runs. */
import { assert, describe, it } from "@effect/vitest"
import { timeTaken } from "../../src/domain/JobText.ts"

describe("A time that was taken", () => {
  it("has a unit, however short it was", () => {
    assert.deepStrictEqual([0, 0.4, 1, 61_000].map(timeTaken), ["0ms", "0ms", "1ms", "1m 1s"])
  })
})
