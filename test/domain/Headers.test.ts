import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { fitting } from "../../src/domain/Headers.ts"

const text = (length: number) => "x".repeat(length)

describe("The headers of a dead letter", () => {
  it("are all kept, with ours beside them, where they fit", () => {
    const headers = { a: 1, b: "two", c: { deep: [1n] } }
    assert.deepStrictEqual(fitting(headers, { own: "x" }), { ...headers, own: "x" })
  })

  it("are without the largest of them, which are named, where they do not", () => {
    const fitted = fitting({ small: "kept", large: text(60_000), larger: text(70_000) }, { own: text(4096) })
    assert.deepStrictEqual(Object.keys(fitted).sort(), ["own", "small", "x-paystream-dropped-headers"])
    assert.strictEqual(fitted["x-paystream-dropped-headers"], "large larger")
  })

  it.prop(
    "stay below what a client can write, whatever the original has",
    { sizes: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 70_000 }))) },
    ({ sizes }) => {
      const headers = Object.fromEntries(sizes.map((size, index) => [`header-${index}`, text(size)]))
      const fitted = fitting(headers, { own: text(4096) })
      const bytes = Object.entries(fitted).reduce((sum, [name, value]) => sum + name.length + String(value).length, 0)
      assert.isBelow(bytes, 60_000)
      assert.strictEqual(fitted.own, text(4096))
    },
    { arbitrary: { runs: 300, size: 40 } }
  )
})
