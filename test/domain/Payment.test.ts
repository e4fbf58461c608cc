import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { decodePayload } from "../../src/domain/Payment.ts"
import { bytes } from "../support/Messages.ts"

const reasonOf = (body: Uint8Array, maxBytes = 1000): string | undefined => {
  const decoded = decodePayload(body, maxBytes)
  return Result.isFailure(decoded) ? decoded.failure.reason : undefined
}

describe("A payload", () => {
  it.each([
    "{}",
    "[]",
    "null",
    "0",
    '""',
    " {\n} ",
    '{"a":1,"a":2}',
    "1.10",
    "12345678901234567890.123456789",
    "1e999999",
    '"\\u0000"',
    '"\\ud800"',
    '"😀"'
  ])("that is JSON is kept as it was written: %s", (text) => {
    assert.deepStrictEqual(decodePayload(bytes(text), 1000), Result.succeed(text))
  })

  it.prop("that is JSON keeps every byte", { value: Schema.Json }, ({ value }) => {
    const body = bytes(JSON.stringify(value))
    const decoded = Result.getOrThrow(decodePayload(body, body.length))
    assert.deepStrictEqual(bytes(decoded), body)
  })

  it("that is not there is empty", () => {
    assert.strictEqual(reasonOf(new Uint8Array(0)), "empty")
  })

  it.each([
    "{",
    "{'a':1}",
    "undefined",
    "NaN",
    "01",
    "+1",
    "1.",
    ".5",
    "[1,]",
    '{"a":1}x',
    " ",
    '"\n"',
    '"\\x"',
    "\ufeff{}"
  ])("that is no JSON is said to be so: %j", (text) => {
    assert.strictEqual(reasonOf(bytes(text)), "invalid_json")
  })

  it.each([
    ["a stray byte", [0xff]],
    ["a character cut off", [0x22, 0xe2, 0x82]],
    ["an overlong form", [0x22, 0xc0, 0x80, 0x22]],
    ["half of a surrogate pair", [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ["UTF-16", [0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]]
  ])("that is not UTF-8 is said to be so: %s", (_, body) => {
    assert.strictEqual(reasonOf(Uint8Array.from(body)), "invalid_utf8")
  })

  it("is taken up to the limit of bytes, and not one more", () => {
    assert.strictEqual(reasonOf(bytes('"é"'), 4), undefined)
    assert.strictEqual(reasonOf(bytes('"é"'), 3), "too_large")
  })

  it("that is too large is not looked at further", () => {
    assert.strictEqual(reasonOf(Uint8Array.from([0xff, 0xff]), 1), "too_large")
  })

  it("whose nesting no parser takes is left to the database", () => {
    const text = "[".repeat(200_000) + "]".repeat(200_000)
    assert.strictEqual(reasonOf(bytes(text), text.length), undefined)
  })
})
