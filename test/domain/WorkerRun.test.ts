import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { grantOf } from "../../src/domain/WorkerRun.ts"

const Limit = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2_000_000 }))
const Turns = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 })))

describe("Grants of a run", () => {
  it.prop("are at most what is left, and something as long as anything is", { unclaimed: Limit }, ({ unclaimed }) => {
    const granted = grantOf(unclaimed)
    assert.isAtMost(granted, unclaimed)
    assert.isAtMost(granted, 10_000)
    assert.strictEqual(granted > 0, unclaimed > 0)
  })

  it.prop(
    "come to exactly the limit, whoever claims when, and however often a process dies with a part of its share",
    { limit: Limit, deaths: Turns },
    ({ deaths, limit }) => {
      const dies = new Set(deaths.slice(0, 50))
      let unclaimed = limit
      let settled = 0
      let turns = 0
      while (unclaimed > 0) {
        const granted = grantOf(unclaimed)
        const lost = dies.has(turns++) ? Math.ceil(granted / 3) : 0
        settled += granted - lost
        unclaimed -= granted - lost
        assert.isAtMost(settled, limit)
        assert.isBelow(turns, 1000)
      }
      assert.strictEqual(settled, limit)
    }
  )
})
