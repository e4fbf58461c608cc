import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { printable, printableJson, printableLines, shortened } from "../../src/domain/Printable.ts"

const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u

/** What a stranger may try: colours, a moved cursor, text turned round or hidden, half a character. */
const Hostile = Schema.Array(
  Schema.Literals([
    "a",
    "\u001b[31m",
    "\r",
    "\n",
    "\t",
    "\u0007",
    "\u009b2J",
    "\u202e",
    "\u200b",
    "\u2028",
    "\ud800",
    "😀",
    "é"
  ])
)

describe("Text of strangers", () => {
  it.prop("can do nothing to a terminal", { parts: Hostile }, ({ parts }) => {
    const text = parts.join("")
    assert.notMatch(printable(text), unsafe)
    assert.notMatch(printableLines(text).replace(/[\n\t]/g, ""), unsafe)
    assert.notMatch(printableJson({ [text]: text }), unsafe)
  })

  it.prop("is still the same as JSON", { parts: Hostile }, ({ parts }) => {
    const value = { [parts.join("")]: [parts.join(""), 1.5] }
    assert.deepStrictEqual(JSON.parse(printableJson(value)), value)
  })

  it("is itself where it is harmless", () => {
    assert.strictEqual(printable("Zahlung 12 €, „ok“ 😀"), "Zahlung 12 €, „ok“ 😀")
    assert.strictEqual(printableLines("a\n\tb\u001b"), "a\n\tb\\u001b")
    assert.strictEqual(printable("\u{e0041}"), "\\udb40\\udc41")
  })

  it("is cut where it is too long, never within a character", () => {
    assert.strictEqual(shortened("abc", 3), "abc")
    assert.strictEqual(shortened("abcd", 3), "ab…")
    assert.isTrue(shortened("a😀b", 3).isWellFormed())
  })

  it("may be no text at all", () => {
    assert.strictEqual(printableJson(12n), '"12"')
    assert.strictEqual(printableJson(undefined), "null")
  })
})
