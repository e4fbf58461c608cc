import { assert, describe, it } from "@effect/vitest"
import { Option, Schema } from "effect"
import * as Money from "../../src/domain/Money.ts"

const decode = Schema.decodeUnknownOption(Money.Amount)
const encode = Schema.encodeSync(Money.Amount)

const amounts = Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: 1n, maximum: Money.largest }))
const many = { arbitrary: { runs: 500, size: 50 } }

describe("An amount", () => {
  it.each([
    ["0.01", 1n],
    ["1", 100n],
    ["1.5", 150n],
    ["12.34", 1234n],
    ["0.10", 10n],
    ["9999999999999.99", Money.largest]
  ])("is read exactly: %s", (text, minorUnits) => {
    assert.deepStrictEqual(decode(text), Option.some(minorUnits))
    assert.deepStrictEqual(decode(JSON.parse(text)), Option.some(minorUnits))
  })

  it.each([
    "0",
    "0.00",
    "-1",
    "+1",
    "1.234",
    "10.500",
    "1e2",
    "01",
    "1.",
    ".5",
    "1,50",
    " 1",
    "",
    "NaN",
    "10000000000000"
  ])("is none: %j", (text) => assert.isTrue(Option.isNone(decode(text))))

  it.each([0, -1, 0.001, 0.1 + 0.2, 1e13, 1e21, Number.NaN, Number.POSITIVE_INFINITY, null, true, {}, ["1"]])(
    "is no such value either: %s",
    (value) => assert.isTrue(Option.isNone(decode(value)))
  )

  it.prop(
    "is written with two places, and read again as it was",
    { amount: amounts },
    ({ amount }) => {
      assert.match(Money.textOf(amount), /^\d+\.\d\d$/)
      assert.strictEqual(Money.minorUnitsOf(Money.textOf(amount)), amount)
      assert.deepStrictEqual(decode(encode(amount)), Option.some(amount))
    },
    many
  )

  it.prop(
    "is the same as text and as a JSON number, to the last digit",
    { amount: amounts },
    ({ amount }) => {
      const text = Money.textOf(amount)
      assert.deepStrictEqual(decode(JSON.parse(text)), decode(text))
    },
    many
  )
})
