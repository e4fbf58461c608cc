/** Wrong keys: how many somebody may try. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import * as WrongKeys from "../../../src/layers/http/WrongKeys.ts"

const countAll = (keys: ReturnType<typeof WrongKeys.make>, addresses: ReadonlyArray<string>) =>
  Effect.forEach(addresses, keys.count, { discard: true })

const times = (count: number, address: string) => Array.from({ length: count }, () => address)

describe("Wrong keys", () => {
  it.effect("keep their own address waiting, until a minute after the first, and nobody else", () =>
    Effect.gen(function* () {
      const keys = WrongKeys.make()
      yield* countAll(keys, times(9, "here"))
      assert.strictEqual(yield* keys.waitOf("here"), 0)
      yield* TestClock.adjust("20 seconds")
      yield* countAll(keys, times(1, "here"))
      assert.deepStrictEqual([yield* keys.waitOf("here"), yield* keys.waitOf("there")], [40, 0])
      yield* TestClock.adjust("40 seconds")
      assert.strictEqual(yield* keys.waitOf("here"), 0)
      yield* countAll(keys, times(9, "here"))
      assert.strictEqual(yield* keys.waitOf("here"), 0, "what is over is not counted on")
    })
  )

  it.effect("are forgotten where there are too many addresses, the old ones first", () =>
    Effect.gen(function* () {
      const keys = WrongKeys.make()
      const many = Array.from({ length: 9999 }, (_, index) => `address ${index}`)
      yield* countAll(keys, many)
      yield* TestClock.adjust("61 seconds")
      yield* countAll(keys, times(10, "here"))
      yield* countAll(keys, ["one more"])
      assert.isAbove(yield* keys.waitOf("here"), 0)
    })
  )
})
