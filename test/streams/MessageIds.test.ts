import { assert, describe, it } from "@effect/vitest"
import { shownId } from "../../src/streams/MessageIds.ts"

describe("A message id in a log", () => {
  it("is shown as it is", () => {
    for (const id of ["plain-1", 'with "quotes" and \\', "ü ✓ 😀"]) assert.strictEqual(shownId(id), id)
    assert.strictEqual(shownId(undefined), "(none)")
  })

  it("is quoted where it has control characters, none of which gets through", () => {
    assert.strictEqual(shownId("a\nlevel=ERROR"), '"a\\nlevel=ERROR"')
    assert.strictEqual(shownId('\u001b[2J"'), '"\\u001b[2J\\""')
    assert.strictEqual(shownId("\u0000\u007f\u0085\u009b\u2028"), '"\\u0000\\u007f\\u0085\\u009b\\u2028"')
  })
})
