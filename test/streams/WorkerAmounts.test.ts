/** Amounts in messages of any publisher: booked to the last digit, or not at all. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { Amount } from "../../src/domain/Money.ts"
import * as Worker from "../../src/streams/Worker.ts"
import { codecOf, readOriginal } from "../../src/streams/WorkerMessages.ts"
import { bytes, delivery } from "../support/Messages.ts"

const worker = Worker.make("w", { topic: "in", input: Schema.Struct({ amount: Amount }) }, () => Effect.void)
const { decode } = codecOf(worker)

/** What the worker reads in a message with this amount, or why it does not. */
const read = (amount: string) =>
  Effect.result(decode(readOriginal(delivery({ body: bytes(`{"amount":${amount},"other":0.1000000000000000055}`) }))))

/** Hundredths, times ten to the power of 40: nothing that is written here is lost. */
const unitsOf = (text: string): bigint => {
  const [whole = "", fraction = ""] = text.split(".")
  return BigInt(`${whole}${fraction.padEnd(42, "0")}`)
}

describe("An amount in a message", () => {
  const parts = {
    whole: Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: 0n, maximum: 10n ** 18n })),
    // anything, and what a double rounds to two places
    fraction: Schema.Union([
      Schema.String.check(Schema.isPattern(/^\d{1,24}$/)),
      Schema.String.check(Schema.isPattern(/^\d{2}0{1,20}[1-9]$/)),
      Schema.String.check(Schema.isPattern(/^\d9{14,20}$/))
    ]),
    isText: Schema.Boolean
  }

  it.effect.prop(
    "is booked as it was written, or not at all",
    parts,
    ({ fraction, isText, whole }) =>
      Effect.gen(function* () {
        const text = `${whole}.${fraction}`
        const found = yield* read(isText ? JSON.stringify(text) : text)
        if (Result.isSuccess(found)) assert.strictEqual(found.success.amount * 10n ** 40n, unitsOf(text))
      }),
    { arbitrary: { runs: 2000, size: 40 } }
  )

  it.effect.prop(
    "is booked with any two places, as number and as text",
    { minorUnits: Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: 1n, maximum: 10n ** 15n - 1n })) },
    ({ minorUnits }) =>
      Effect.gen(function* () {
        const text = `${minorUnits / 100n}.${String(minorUnits % 100n).padStart(2, "0")}`
        for (const written of [text, JSON.stringify(text)])
          assert.deepStrictEqual(yield* read(written), Result.succeed({ amount: minorUnits }))
      }),
    { arbitrary: { runs: 500, size: 40 } }
  )

  for (const amount of [
    "12345678901234567.89",
    "0.1000000000000000055",
    "1234567890123.4500001",
    "12.34000000000000001"
  ])
    it.effect(`is refused with its reason where a double would round it: ${amount}`, () =>
      Effect.gen(function* () {
        const found = yield* read(amount)
        assert.isTrue(Result.isFailure(found))
        if (Result.isFailure(found)) assert.match(found.failure, /at most 13 digits and two places[\s\S]*\["amount"\]/)
      })
    )
})
