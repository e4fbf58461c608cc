import { assert, describe, it } from "@effect/vitest"
import { Option, Schema } from "effect"
import * as Money from "../../src/domain/Money.ts"
import { PaymentStatusChanged, ProcessPayment } from "../../src/domain/PaymentMessages.ts"
import * as PixEvent from "../../src/domain/PixEvent.ts"

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

describe("A schema", () => {
  const Amounts = Schema.Array(Schema.Struct({ amount: Schema.optionalKey(Money.Amount) }))
  class Refund extends Schema.Class<Refund>("test/Refund")({ of: Money.Amount }) {}
  interface Tree {
    readonly amount: bigint
    readonly trees: ReadonlyArray<Tree>
  }
  const Tree = Schema.Struct({
    amount: Money.Amount,
    trees: Schema.Array(Schema.suspend((): Schema.Codec<Tree, unknown> => Tree))
  })

  it.each<readonly [name: string, schema: Schema.Top]>([
    ["itself", Money.Amount],
    ["with a check of its own", Money.Amount.check(Schema.isLessThanBigInt(5n))],
    ["in lists and objects", Amounts],
    ["by name", Schema.Record(Schema.String, Money.Amount)],
    ["in a class", Refund],
    ["in one of several", Schema.Union([Schema.Null, Money.Amount])],
    ["in what holds itself", Tree],
    ["of a PIX payment", PixEvent.PaymentRequested],
    ["of a command", ProcessPayment],
    ["of an event", PaymentStatusChanged]
  ])("is known to read amounts: %s", (_, schema) => assert.isTrue(Money.readsAmounts(schema)))

  it.each<readonly [name: string, schema: Schema.Top]>([
    ["numbers", Schema.Struct({ amount: Schema.Finite })],
    ["a change of status", PixEvent.PaymentValidated]
  ])("is known to read none: %s", (_, schema) => assert.isFalse(Money.readsAmounts(schema)))
})
