import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Flow from "../../../src/layers/rabbitmq/Flow.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const Bodies = Schema.Array(between(0, 300)).check(Schema.isMaxLength(200))

/** A consumer that settles one delivery, the oldest, for every two that arrive, and all of them when nothing comes. */
const consume = (limits: Flow.FlowLimits, bodies: ReadonlyArray<number>, observe: (flow: Flow.Flow) => void): void => {
  const inHand: Array<number> = []
  let flow = Flow.start(limits)
  const settle = (count: number) => {
    flow = Flow.settle(
      flow,
      inHand.splice(0, count).reduce((sum, bytes) => sum + bytes, 0)
    )
    if (Flow.shouldResume(limits, flow)) flow = Flow.resume(limits, flow)
    observe(flow)
  }
  for (const [index, bytes] of bodies.entries()) {
    while (flow.paused || inHand.length >= flow.prefetch) settle(1)
    inHand.push(bytes)
    flow = Flow.take(limits, flow, bytes)
    observe(flow)
    if (index % 2 === 1) settle(1)
  }
  settle(inHand.length)
}

describe("The flow of deliveries", () => {
  it.prop(
    "passes the limit of bytes with one body at most, and always goes on",
    { maxPrefetch: between(1, 50), maxBytes: between(1, 2000), bodies: Bodies },
    ({ maxPrefetch, maxBytes, bodies }) => {
      consume({ maxPrefetch, maxBytes }, bodies, (flow) => {
        assert.isBelow(flow.bytesInHand, maxBytes + 301)
        assert.isAtLeast(flow.bytesInHand, 0)
        assert.isTrue(flow.prefetch >= 1 && flow.prefetch <= maxPrefetch)
        if (flow.paused) assert.isAbove(flow.bytesInHand, maxBytes / 2)
        else assert.isAtMost(flow.bytesInHand, maxBytes)
      })
    },
    { arbitrary: { runs: 1000, size: 200 } }
  )

  it("asks for all it may as long as the bodies are small", () => {
    const limits = { maxPrefetch: 100, maxBytes: 1_000_000 }
    consume(
      limits,
      Array.from({ length: 1000 }, () => 200),
      (flow) => assert.deepStrictEqual([flow.prefetch, flow.paused], [100, false])
    )
  })

  it("asks for fewer after large bodies, and for all again when they are small for a while", () => {
    const limits = { maxPrefetch: 64, maxBytes: 1000 }
    const asked: Array<number> = []
    consume(limits, [...Array.from({ length: 10 }, () => 300), ...Array.from({ length: 2000 }, () => 1)], (flow) =>
      asked.push(flow.prefetch)
    )
    assert.strictEqual(Math.min(...asked), 1)
    assert.strictEqual(asked.at(-1), 64)
  })
})
