import { assert, describe, it } from "@effect/vitest"
import { Duration, Result, Schema } from "effect"
import * as Parser from "../../../src/layers/config/Parser.ts"

const range = { minimum: 2, maximum: 30 }

describe("numbers", () => {
  const refused = [
    "",
    "10abc",
    "1e1",
    "-1",
    "+5",
    " 5 ",
    "5 ",
    "007",
    "0x5",
    "Infinity",
    "NaN",
    "1_0",
    "5.",
    ".5",
    "１０"
  ]

  for (const text of [...refused, "1", "31", "2.5", "9".repeat(400)]) {
    it(`a whole number is not ${JSON.stringify(text).slice(0, 20)}`, () => {
      assert.deepStrictEqual(Parser.integer(range).parse(text), Result.fail("a whole number from 2 to 30"))
    })
  }

  for (const text of [...refused, "1.999", "30.001"]) {
    it(`a number of seconds is not ${JSON.stringify(text)}`, () => {
      assert.deepStrictEqual(Parser.seconds(range).parse(text), Result.fail("a number from 2 to 30 (seconds)"))
    })
  }

  it.prop(
    "whole numbers are taken exactly within the range",
    { n: Schema.Int.check(Schema.isBetween({ minimum: -5, maximum: 40 })) },
    ({ n }) => {
      assert.strictEqual(Result.isSuccess(Parser.integer(range).parse(String(n))), n >= 2 && n <= 30)
    }
  )

  it("seconds may have decimals", () => {
    assert.deepStrictEqual(Parser.seconds(range).parse("2.25"), Result.succeed(Duration.millis(2250)))
  })
})

describe("words", () => {
  const level = Parser.oneOf({ info: "Info", warn: "Warn", error: "Error" })

  it("come in upper or lower case", () => {
    assert.deepStrictEqual(level.parse("WaRn"), Result.succeed("Warn"))
  })

  it("are listed for who wrote another, and nothing inherited is a word", () => {
    for (const text of ["warning", "constructor", "__proto__", "toString"]) {
      assert.deepStrictEqual(level.parse(text), Result.fail("info, warn or error"))
    }
  })

  it("answer yes or no", () => {
    const taken = ["true", "1", "YES", "false", "0", "no"].map((text) => Result.getOrThrow(Parser.flag.parse(text)))
    assert.deepStrictEqual(taken, [true, true, true, false, false, false])
    assert.isTrue(Result.isFailure(Parser.flag.parse("on")))
  })

  it("lift a limit", () => {
    const limit = Parser.orWord("unlimited", Parser.integer(range))
    assert.deepStrictEqual(limit.parse("Unlimited"), Result.succeed(undefined))
    assert.deepStrictEqual(limit.parse("0"), Result.fail("a whole number from 2 to 30, or unlimited"))
  })
})

describe("names", () => {
  const takes = (parser: Parser.Parser<unknown>) => (text: string) => Result.isSuccess(parser.parse(text))

  it("a host is a name or an address", () => {
    const good = ["localhost", "rabbit_1", "a.b-c.example.", "10.0.0.1", "::1", "2001:db8::2"]
    const bad = ["a b", "a:5672", "amqp://a", "-a", "a-", "a/b", "u@h", "fe80::1%eth0", "[::1]", "host\n"]
    assert.deepStrictEqual(good.filter(takes(Parser.host)), good)
    assert.deepStrictEqual(bad.filter(takes(Parser.host)), [])
  })

  it("a queue's fits into 255 bytes, and has no spaces around it", () => {
    const good = ["payments", "a b", "é".repeat(127), "x".repeat(255)]
    const bad = ["x".repeat(256), "é".repeat(128), " payments", "payments\r", "pay\u0000ments"]
    assert.deepStrictEqual(good.filter(takes(Parser.queueName)), good)
    assert.deepStrictEqual(bad.filter(takes(Parser.queueName)), [])
  })

  it("a web address has no credentials", () => {
    const good = ["http://localhost:4318", "https://otel.example/v1"]
    const bad = ["localhost:4318", "grpc://x", "http://", "http://user:pass@host"]
    assert.deepStrictEqual(good.filter(takes(Parser.webAddress)), good)
    assert.deepStrictEqual(bad.filter(takes(Parser.webAddress)), [])
  })
})

describe("a time with a least value", () => {
  const kept = Parser.duration(Duration.days(10), Duration.days(2))

  it("takes both ends, and says them where it refuses", () => {
    for (const text of ["2 days", "48 hours", "10 days"]) assert.isTrue(Result.isSuccess(kept.parse(text)), text)
    for (const text of ["47.9 hours", "1 day", "10.1 days"])
      assert.deepStrictEqual(
        kept.parse(text),
        Result.fail('a time such as "90 seconds", "12 hours" or "7 days", at least 2 and at most 10 days')
      )
  })
})
