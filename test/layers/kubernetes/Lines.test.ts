import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { Lines } from "../../../src/layers/kubernetes/Lines.ts"

describe("Lines", () => {
  const texts = Schema.Array(Schema.Literals(["", "a", "é", "€", "𝄞", '{"a":"ü"}', "x".repeat(20)]))
  const cuts = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 })))

  it.effect.prop(
    "come whole, wherever the bytes were cut",
    { texts, cuts },
    ({ cuts, texts }) =>
      Effect.sync(() => {
        const bytes = new TextEncoder().encode(texts.map((text) => `${text}\n`).join(""))
        const chunks: Array<Uint8Array> = []
        let start = 0
        for (const length of [...cuts, bytes.length]) {
          chunks.push(bytes.slice(start, start + length))
          start += length
        }
        const oneByOne = new Lines()
        const found = chunks.flatMap((chunk) => Result.getOrThrow(oneByOne.push(chunk)))
        assert.deepStrictEqual(
          found,
          texts.filter((text) => text !== "")
        )
        assert.deepStrictEqual(Result.getOrThrow(new Lines().push(bytes)), found)
      }),
    { arbitrary: { runs: 300, size: 20 } }
  )

  it("that never end are given up at their limit", () => {
    const lines = new Lines(10)
    const push = (text: string) => lines.push(new TextEncoder().encode(text))
    assert.isTrue(Result.isSuccess(push("12345")))
    assert.isTrue(Result.isSuccess(push("67890\n1234567890")))
    assert.isTrue(Result.isFailure(push("1")))
  })

  it("that are not UTF-8 are an error", () => {
    assert.isTrue(Result.isFailure(new Lines().push(new Uint8Array([0xff, 0x0a]))))
  })
})
