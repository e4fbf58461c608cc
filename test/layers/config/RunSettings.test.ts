import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import { runSettings } from "../../../src/layers/config/RunSettings.ts"
import { problemsOf, settingsOf } from "./support.ts"

describe("runSettings", () => {
  it("makes no run unless one is named, and a lease of 15 seconds", () => {
    assert.deepStrictEqual(settingsOf(runSettings, {}), { id: undefined, lease: Duration.seconds(15) })
    assert.isUndefined(settingsOf(runSettings, { RUN_ID: "" }).id)
  })

  it("takes the UID of an object, or any short text", () => {
    for (const id of ["5f0a3c1e-8f1b-4f57-9d3a-0a1b2c3d4e5f", "nightly 2026-11-21", "ü".repeat(127)]) {
      assert.strictEqual(settingsOf(runSettings, { RUN_ID: id }).id, id)
    }
    for (const id of [" padded", "two\nlines", "ü".repeat(128)]) {
      assert.deepStrictEqual(
        problemsOf(runSettings, { RUN_ID: id }).map(({ name }) => name),
        ["RUN_ID"]
      )
    }
  })
})
