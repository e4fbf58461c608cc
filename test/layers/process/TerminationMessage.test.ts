import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { longestBytes, textOf } from "../../../src/layers/process/TerminationMessage.ts"

const bytes = (text: string) => new TextEncoder().encode(text).length

describe("The termination message", () => {
  it("is what came of the work, and why it failed if it did", () => {
    assert.strictEqual(textOf({ stored: 1, done: true }), '{"stored":1,"done":true}')
    assert.strictEqual(textOf({ stored: 1 }, 'no "database"'), '{"stored":1,"error":"no \\"database\\""}')
  })

  it.prop(
    "is JSON that Kubernetes takes whole, however long the reason, with all facts in it",
    {
      piece: Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(30)),
      times: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3000 })),
      run: Schema.String.check(Schema.isMaxLength(100))
    },
    ({ piece, run, times }) => {
      const reason = piece.repeat(times)
      const text = textOf({ run, stored: 5, done: false }, reason)
      assert.isAtMost(bytes(text), longestBytes)
      const { error, ...facts } = JSON.parse(text)
      assert.deepStrictEqual(facts, JSON.parse(JSON.stringify({ run, stored: 5, done: false })))
      if (bytes(JSON.stringify(reason)) < 3000) assert.strictEqual(error, JSON.parse(JSON.stringify(reason)))
      else assert.isAbove(error.length, 100)
    }
  )
})
