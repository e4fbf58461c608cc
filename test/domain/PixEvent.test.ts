import { assert, describe, it } from "@effect/vitest"
import { Option, Schema } from "effect"
import { type AntiFraudLimits, judge } from "../../src/domain/AntiFraud.ts"
import { largest } from "../../src/domain/Money.ts"
import {
  AuditRecorded,
  isTopic,
  PaymentRequested,
  PaymentValidated,
  schemas,
  topics
} from "../../src/domain/PixEvent.ts"
import { timeAfter } from "../../src/domain/PixHistory.ts"

const requested = { transactionId: "tx-1", amount: "12.34", payer: "Ana", receiver: "Bruno" }
const decode = Schema.decodeUnknownOption(PaymentRequested)

describe("An event of the PIX system", () => {
  it("has one of five topics, each with its schema", () => {
    assert.deepStrictEqual(Object.keys(schemas).sort(), [
      "pix.audit.log",
      "pix.notification.sent",
      "pix.payment.requested",
      "pix.payment.settled",
      "pix.payment.validated"
    ])
    assert.isTrue(Object.values(topics).every(isTopic))
    assert.isFalse(isTopic("toString"))
    assert.isFalse(isTopic("pix.payment"))
  })

  it("asks for a payment in reais unless it says otherwise", () => {
    const payment = Option.getOrThrow(decode(requested))
    assert.deepStrictEqual([payment.amount, payment.currency], [1234n, "BRL"])
    assert.strictEqual(Option.getOrThrow(decode({ ...requested, currency: "EUR" })).currency, "EUR")
  })

  it.each([
    ["transactionId", ""],
    ["transactionId", "a/b"],
    ["transactionId", "-a"],
    ["transactionId", "a\u0000"],
    ["transactionId", "a".repeat(101)],
    ["transactionId", 1],
    ["amount", "0.001"],
    ["currency", "real"],
    ["payer", "  "],
    ["payer", "a\nb"],
    ["payer", "\ud800"],
    ["receiver", "r".repeat(141)],
    ["at", "yesterday"],
    ["at", "2026-13-01T00:00:00Z"]
  ])("is none with %s: %j", (field, value) => {
    assert.isTrue(Option.isNone(decode({ ...requested, [field]: value })))
  })

  it.each(["transactionId", "amount", "payer", "receiver"])("is none without %s", (field) => {
    assert.isTrue(Option.isNone(decode({ ...requested, [field]: undefined })))
  })

  it("lets pass what it does not know", () => {
    assert.isTrue(Option.isSome(decode({ ...requested, description: "rent", endToEndId: 7 })))
  })

  it("tells a status, or an action", () => {
    const has = (schema: typeof PaymentValidated | typeof AuditRecorded, value: unknown) =>
      Option.isSome(Schema.decodeUnknownOption(schema as Schema.Codec<unknown, unknown>)(value))
    assert.isTrue(has(PaymentValidated, { transactionId: "1", status: "validated" }))
    assert.isFalse(has(PaymentValidated, { transactionId: "1" }))
    assert.isTrue(has(AuditRecorded, { transactionId: "1", action: "seen", at: "2026-01-01T00:00:00+03:00" }))
    assert.isFalse(has(AuditRecorded, { transactionId: "1", status: "validated" }))
  })
})

const minorUnits = Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: 1n, maximum: largest }))

describe("The anti-fraud rule", () => {
  const limits: AntiFraudLimits = { largestAmount: 10_000n }
  const payment = { ...requested, amount: 10_000n, currency: "BRL" }

  it("lets pass what is within the limit", () => {
    assert.deepStrictEqual(judge(payment, limits), { status: "validated" })
  })

  it("refuses payments to oneself, however the name is written", () => {
    assert.strictEqual(judge({ ...payment, receiver: " ANA " }, limits).status, "refused")
  })

  it.prop("refuses exactly what is above the limit", { amount: minorUnits, largestAmount: minorUnits }, (given) => {
    const judged = judge({ ...payment, amount: given.amount }, given)
    assert.strictEqual(judged.status === "refused", given.amount > given.largestAmount)
  })
})

const times = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4_000_000_000_000 }))

describe("The steps of a payment", () => {
  it.prop("are in order, whatever the clocks say", { previous: times, now: times }, ({ now, previous }) => {
    assert.isAbove(timeAfter(previous, now), previous)
    assert.isAtLeast(timeAfter(previous, now), now)
  })
})
