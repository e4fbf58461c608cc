/** What has happened to a payment, as it is kept. */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { largest } from "../../src/domain/Money.ts"
import { PaymentEvent, steps } from "../../src/domain/PaymentEvent.ts"
import { stateOf } from "../../src/domain/PaymentState.ts"
import { beginning } from "../support/PaymentLives.ts"

describe("A payment's history", () => {
  it("comes to nothing without its beginning", () => {
    assert.isUndefined(stateOf([]))
    assert.isUndefined(stateOf([{ _tag: "Begun" }, beginning]))
  })

  const encode = Schema.encodeSync(PaymentEvent)
  const decode = Schema.decodeUnknownSync(PaymentEvent)
  const stored = (event: PaymentEvent): unknown => JSON.parse(JSON.stringify(encode(event)))

  const edges: ReadonlyArray<PaymentEvent> = [
    { ...beginning, amount: 1n },
    { ...beginning, amount: largest, orderId: `é😀 \\ " ' ${"x".repeat(1000)}`, paymentMethod: "" },
    { _tag: "ChargePrepared", reference: "pi_\n\t" },
    { _tag: "CompensationBegun", reason: "" },
    ...steps.flatMap(
      (step): ReadonlyArray<PaymentEvent> => [
        { _tag: "StepFinished", step },
        { _tag: "StepUndone", step }
      ]
    )
  ]
  for (const event of edges) {
    it(`is read as it was written: ${JSON.stringify(stored(event)).slice(0, 80)}`, () => {
      assert.deepStrictEqual(decode(stored(event)), event)
    })
  }

  it.prop("is read as it was written, whatever happened", { event: Arbitrary.schema(PaymentEvent) }, ({ event }) => {
    assert.deepStrictEqual(decode(stored(event)), event)
  })

  it("is read without what a later version adds to an event, and not with an event that it adds", () => {
    assert.deepStrictEqual(decode({ _tag: "Begun", later: 1 }), { _tag: "Begun" })
    assert.throws(() => decode({ _tag: "Later" }))
  })

  it("keeps amounts as text, so that no reader takes them for a float", () => {
    assert.propertyVal(stored({ ...beginning, amount: largest }), "amount", String(largest))
  })
})
