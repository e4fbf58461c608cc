import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Watermark from "../../../src/layers/rabbitmq/Watermark.ts"

/** The broker's side: it forgets what is acknowledged or returned, and must not be told of it twice. */
const makeBroker = (count: number) => {
  const unsettled = new Set(Array.from({ length: count }, (_, index) => index + 1))
  const forget = (tag: number) => assert.isTrue(unsettled.delete(tag), `${tag} is settled twice`)
  return {
    unsettled,
    forget,
    acknowledge: ({ single, upTo }: Watermark.Acknowledgement, allowed: ReadonlySet<number>): void => {
      const below = upTo === undefined ? [] : [...unsettled].filter((tag) => tag <= upTo)
      if (upTo !== undefined) assert.isTrue(unsettled.has(upTo), "the tag itself is still the broker's")
      for (const tag of [...below, ...single]) {
        assert.isTrue(allowed.has(tag), `${tag} is acknowledged and was not done`)
        forget(tag)
      }
    }
  }
}

const Steps = Schema.Array(
  Schema.Struct({ size: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 6 })), skips: Schema.Boolean })
).check(Schema.isMaxLength(20))
const Shuffle = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 }))).check(
  Schema.isMaxLength(120)
)

/** The tags 1 … count in an order that `keys` decide. */
const shuffled = (count: number, keys: ReadonlyArray<number>): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, index) => index + 1).sort(
    (one, other) => (keys[one - 1] ?? one) - (keys[other - 1] ?? other)
  )

describe("The watermark", () => {
  it.prop(
    "acknowledges what is done once each, and never what is not, in any order and with any tags settled otherwise",
    { steps: Steps, keys: Shuffle },
    ({ steps, keys }) => {
      const tags = [
        ...shuffled(
          steps.reduce((sum, { size }) => sum + size, 0),
          keys
        )
      ]
      const broker = makeBroker(tags.length)
      const watermark = Watermark.make()
      const done = new Set<number>()
      for (const { size, skips } of steps) {
        const some = tags.splice(0, size)
        if (skips) {
          some.forEach(broker.forget)
          watermark.skip(some)
        } else {
          for (const tag of some) done.add(tag)
          broker.acknowledge(watermark.acknowledge(some), done)
        }
        assert.deepStrictEqual(new Set(tags), broker.unsettled)
      }
    },
    { arbitrary: { runs: 2000, size: 60 } }
  )

  it("asks for one acknowledgement where everything below is settled", () => {
    assert.deepStrictEqual(Watermark.make().acknowledge([3, 1, 2]), { upTo: 3, single: [] })
  })

  it("asks for one each above a tag that is not settled", () => {
    const watermark = Watermark.make()
    assert.deepStrictEqual(watermark.acknowledge([2, 3]), { upTo: undefined, single: [2, 3] })
    assert.deepStrictEqual(watermark.acknowledge([1, 4]), { upTo: 4, single: [] })
    assert.deepStrictEqual(watermark.acknowledge([]), { upTo: undefined, single: [] })
  })
})
