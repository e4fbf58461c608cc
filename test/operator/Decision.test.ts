/** The decision, for any sight: it comes to rest, and does nothing for nothing. */
import { assert, describe, it } from "@effect/vitest"
import { decide } from "../../src/operator/Decision.ts"
import { AnySight, actionsOf, later, options, runs, settled, sightOf } from "../support/Sights.ts"

describe("The decision", () => {
  it.prop(
    "comes to rest within five steps, whatever was seen",
    { any: AnySight },
    ({ any }) => assert.isAtMost(settled(sightOf(any)).steps, 5),
    runs
  )

  it.prop(
    "writes nothing when only the time is another",
    { any: AnySight },
    ({ any }) => {
      const { sight } = settled(sightOf(any))
      assert.deepStrictEqual(decide(sight, { ...options, now: later }), [])
    },
    runs
  )

  it.prop(
    "does nothing for a PaymentJob that is being deleted",
    { any: AnySight },
    ({ any }) => assert.deepStrictEqual(actionsOf({ ...any, isDeleting: true }), []),
    runs
  )
})
