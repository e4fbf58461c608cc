import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { memberOf, withWrittenNumbers } from "../../src/domain/JsonText.ts"

// None is a single character that is written with an escape: V8 of Node 24 confuses such keys with "\\\\".
const names = Schema.Literals(["value", "topic", "", 'a"b', "\\\\", "\u0000a", "😀", "__proto__", "va\\lue"])
const pairs = Schema.Array(Schema.Tuple([names, Schema.Json])).check(Schema.isMinLength(1), Schema.isMaxLength(6))
const gaps = Schema.Literals(["", " ", "\n\t", "\r\n  "])

describe("The text of a member", () => {
  it("is what was written, to the last digit and space", () => {
    const text = ' { "topic" : "t" ,\n"value": { "amount" : 1.10e0 , "n":12345678901234567890.0100 } , "last":1 }'
    assert.strictEqual(memberOf(text, "value"), '{ "amount" : 1.10e0 , "n":12345678901234567890.0100 }')
    assert.strictEqual(memberOf('{"amount":0.10}', "amount"), "0.10")
    assert.strictEqual(memberOf('{"a":[{"value":1}],"value":"}\\""}', "value"), '"}\\""')
  })

  it("is there under a name that was written with escapes, and the last of several counts", () => {
    assert.strictEqual(memberOf('{"v\\u0061lue":1}', "value"), "1")
    assert.strictEqual(memberOf('{"value":1,"value":2}', "value"), "2")
  })

  it.each(["[]", '"value"', "1", "null", "{}", ' { "other": {"value": 1} } '])("is not there in %s", (text) => {
    assert.isUndefined(memberOf(text, "value"))
  })

  it.prop(
    "means what the whole text means",
    { members: pairs, name: names, gap: gaps },
    ({ gap, members, name }) => {
      const written = members.map(
        ([key, value]) => `${gap}${JSON.stringify(key)}${gap}:${gap}${JSON.stringify(value, undefined, gap)}${gap}`
      )
      const text = `${gap}{${written.join(",")}}${gap}`
      const parsed = JSON.parse(text)
      const member = memberOf(text, name)
      assert.strictEqual(member !== undefined, Object.hasOwn(parsed, name))
      if (member !== undefined) assert.deepStrictEqual(JSON.parse(member), parsed[name])
    },
    { arbitrary: { runs: 500, size: 20 } }
  )
})

const exactly = (text: string): unknown => withWrittenNumbers(text, JSON.parse(text))

describe("Numbers", () => {
  const digits = (longest: number) => Schema.String.check(Schema.isPattern(new RegExp(`^\\d{1,${longest}}$`)))
  const parts = {
    isNegative: Schema.Boolean,
    whole: Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: 0n, maximum: 10n ** 22n })),
    fraction: digits(22),
    exponent: Schema.Int.check(Schema.isBetween({ minimum: -30, maximum: 30 }))
  }

  /** A decimal as a whole number of units so small that none is lost. */
  const scale = 80
  const unitsOf = (text: string): bigint => {
    const [mantissa = "", exponent = "0"] = text.toLowerCase().split("e")
    const [whole = "", fraction = ""] = mantissa.replace("-", "").split(".")
    const units = BigInt(`${whole}${fraction}${"0".repeat(scale + Number(exponent) - fraction.length)}`)
    return mantissa.startsWith("-") ? -units : units
  }

  it.prop(
    "are what was written, or their own text: none is rounded",
    parts,
    ({ exponent, fraction, isNegative, whole }) => {
      const text = `${isNegative ? "-" : ""}${whole}.${fraction}${exponent === 0 ? "" : `e${exponent}`}`
      const found = exactly(text)
      if (typeof found === "number") assert.strictEqual(unitsOf(String(found)), unitsOf(text))
      else assert.strictEqual(found, text)
    },
    { arbitrary: { runs: 2000, size: 40 } }
  )

  it.prop(
    "that a double holds are numbers, as any program writes them",
    { value: Schema.Finite },
    ({ value }) => assert.strictEqual(exactly(JSON.stringify(value)), value === 0 ? 0 : value),
    { arbitrary: { runs: 2000, size: 1000 } }
  )

  it.each([
    ["0.30000000000000004", 0.1 + 0.2],
    ["12345678901234567.89", "12345678901234567.89"],
    ["0.1000000000000000055", "0.1000000000000000055"],
    ["9007199254740993", "9007199254740993"],
    ["12.3400000000000000000", 12.34],
    ["-0.00000000000000000", -0],
    ["1e400", Number.POSITIVE_INFINITY]
  ])("are exact: %s", (text, expected) => {
    assert.deepStrictEqual(exactly(`[{"a":${text}},"${text}"]`), [{ a: expected }, text])
  })
})
