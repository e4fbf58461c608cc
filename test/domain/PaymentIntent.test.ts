/** What a payment does, one life at a time. */
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { steps } from "../../src/domain/PaymentEvent.ts"
import { decide, next } from "../../src/domain/PaymentIntent.ts"
import { stateOf } from "../../src/domain/PaymentState.ts"
import {
  beginning,
  born,
  carriedOn,
  carriedOnTo,
  endOf,
  following,
  paid,
  refused,
  tagsOf
} from "../support/PaymentLives.ts"

describe("A payment", () => {
  it("is reserved, charged and confirmed, and then it has succeeded", () => {
    const { state } = carriedOn(born)
    assert.strictEqual(state.status, "succeeded")
    assert.deepStrictEqual(state.finished, steps)
    assert.isTrue(state.wasCharged)
  })

  it("that is declined gives its reservation back, and has failed: no money has moved", () => {
    const end = carriedOn(endOf([...paid.slice(0, 2), { _tag: "Fail", reason: "declined" }]))
    assert.deepStrictEqual(tagsOf(end).slice(-3), ["CompensationBegun", "StepUndone", "Failed"])
    assert.strictEqual(end.state.status, "failed")
    assert.strictEqual(end.state.failure, "declined")
  })

  it("whose order cannot be confirmed is refunded before it is released, and compensated", () => {
    const end = carriedOn(endOf([...paid.slice(0, 3), { _tag: "Fail", reason: "order_cancelled" }]))
    const undone = end.history.flatMap((event) => (event._tag === "StepUndone" ? [event.step] : []))
    assert.deepStrictEqual(undone, ["charge", "reserve"])
    assert.strictEqual(end.state.status, "compensated")
  })

  it("that has succeeded can be refunded, which undoes all of it in reverse", () => {
    const end = carriedOn(endOf([...paid, { _tag: "Refund", reason: "asked for" }]))
    const undone = end.history.flatMap((event) => (event._tag === "StepUndone" ? [event.step] : []))
    assert.deepStrictEqual(undone, ["confirm", "charge", "reserve"])
    assert.strictEqual(end.state.status, "compensated")
  })

  it("in doubt is settled either way, and never charged by another name", () => {
    const { state } = endOf([...paid.slice(0, 2), { _tag: "Doubt", reason: "time-out" }])
    assert.deepStrictEqual(next(state), { _tag: "ResolveDoubt" })
    assert.isTrue(refused(state, { _tag: "PrepareCharge", reference: "pi_2" }))
    assert.isFalse(refused(state, { _tag: "FinishStep", step: "charge" }))
    assert.isFalse(refused(state, { _tag: "Fail", reason: "not charged" }))
  })

  it("cannot be in doubt before a charge is known to the provider, or after it is settled", () => {
    const doubt = { _tag: "Doubt", reason: "time-out" } as const
    for (const count of [0, 1, 3, 4]) assert.isTrue(refused(endOf(paid.slice(0, count)).state, doubt), `${count}`)
  })

  it("whose compensation has to be asked for waits until it is", () => {
    const failed = endOf([...paid.slice(0, 1), { _tag: "Fail", reason: "declined" }, { _tag: "RequireCompensation" }])
    assert.deepStrictEqual(next(failed.state), { _tag: "Nothing" })
    assert.isTrue(refused(failed.state, { _tag: "UndoStep", step: "reserve" }))
    assert.strictEqual(carriedOn(following(failed, { _tag: "ResumeCompensation" })).state.status, "failed")
  })

  it("whose refund is under way is not compensated before the money is back, and asks for no second one", () => {
    const asked = carriedOnTo("charge", endOf([...paid, { _tag: "Refund", reason: "asked for" }]))
    const pending = following(asked, { _tag: "AwaitRefund" })
    assert.strictEqual(pending.state.status, "compensating")
    assert.deepStrictEqual(next(pending.state), { _tag: "ResolveRefund" })
    assert.deepStrictEqual(following(pending, { _tag: "AwaitRefund" }), pending)
    assert.strictEqual(carriedOn(pending).state.status, "compensated")
  })

  it("whose refund came to nothing waits for an operator, who can have it asked for once more", () => {
    const pending = following(carriedOnTo("charge", endOf([...paid, { _tag: "Refund", reason: "asked for" }])), {
      _tag: "AwaitRefund"
    })
    const failed = following(pending, { _tag: "FailRefund", reason: "lost_or_stolen_card" })
    assert.deepStrictEqual(next(failed.state), { _tag: "Nothing" })
    assert.isTrue(failed.state.isCompensationRequired)
    assert.deepStrictEqual(failed.state.refundFailures, ["lost_or_stolen_card"])
    assert.strictEqual(failed.state.failure, "asked for")
    const resumed = following(failed, { _tag: "ResumeCompensation" })
    assert.deepStrictEqual(next(resumed.state), { _tag: "Undo", step: "charge" })
    assert.strictEqual(carriedOn(resumed).state.status, "compensated")
  })

  it("that is compensated is looked at again when its provider tells that the refund came to nothing, once", () => {
    const compensated = carriedOn(endOf([...paid, { _tag: "Refund", reason: "asked for" }]))
    const doubted = following(compensated, { _tag: "DoubtRefund", refund: "re_1" })
    assert.strictEqual(doubted.state.status, "compensating")
    assert.deepStrictEqual(next(doubted.state), { _tag: "ResolveRefund" })
    const again = carriedOn(doubted)
    assert.strictEqual(again.state.status, "compensated")
    assert.deepStrictEqual(following(again, { _tag: "DoubtRefund", refund: "re_1" }), again)
    assert.strictEqual(following(again, { _tag: "DoubtRefund", refund: "re_2" }).state.status, "compensating")
  })

  it("that has failed without a charge, or has succeeded, has no refund to doubt", () => {
    const doubt = { _tag: "DoubtRefund", refund: "re_1" } as const
    for (const life of [
      carriedOn(born),
      carriedOn(endOf([...paid.slice(0, 2), { _tag: "Fail", reason: "no" }])),
      born
    ]) {
      assert.deepStrictEqual(following(life, doubt), life)
    }
  })

  it("whose command is refused says what it was, and in which status", () => {
    const error = Result.getOrThrow(Result.flip(decide(born.state, { _tag: "FinishStep", step: "charge" })))
    assert.strictEqual(error.message, "a payment that is requested cannot take the command FinishStep")
  })
})

describe("A payment whose order is reserved", () => {
  it("has begun with it, in one change", () => {
    assert.deepStrictEqual(
      decide(born.state, { _tag: "FinishStep", step: "reserve" }),
      Result.succeed([{ _tag: "Begun" }, { _tag: "StepFinished", step: "reserve" }])
    )
  })

  it("goes on where an earlier version has begun it before its order was reserved", () => {
    const begun = stateOf([beginning, { _tag: "Begun" }])
    assert(begun !== undefined)
    assert.deepStrictEqual(next(begun), { _tag: "Do", step: "reserve" })
    const end = carriedOn({ state: begun, history: [beginning, { _tag: "Begun" }] })
    assert.strictEqual(end.state.status, "succeeded")
    assert.lengthOf(
      end.history.filter(({ _tag }) => _tag === "Begun"),
      1
    )
  })

  it("is not begun where it cannot be had: it fails at once", () => {
    const end = following(born, { _tag: "Fail", reason: "order_taken" })
    assert.deepStrictEqual(tagsOf(end), ["Requested", "Failed"])
  })
})

describe("A payment in quarantine", () => {
  const dying = { _tag: "Quarantine", reason: "its process died 3 times" } as const
  const lift = { _tag: "LiftQuarantine" } as const

  it("is left alone from wherever it was, and goes on from there when that is lifted", () => {
    for (const count of [0, 1, 2, 3]) {
      const before = endOf(paid.slice(0, count))
      const held = following(before, dying)
      assert.deepStrictEqual(next(held.state), { _tag: "Nothing" })
      assert.strictEqual(held.state.status, before.state.status)
      const lifted = following(held, lift)
      assert.deepStrictEqual(next(lifted.state), next(before.state))
      assert.strictEqual(carriedOn(lifted).state.status, "succeeded")
    }
  })

  it("takes what its provider tells, and what ends it ends the quarantine", () => {
    const inDoubt = endOf([...paid.slice(0, 2), { _tag: "Doubt", reason: "time-out" }, dying])
    const charged = following(inDoubt, { _tag: "FinishStep", step: "charge" })
    assert.isTrue(charged.state.wasCharged)
    const refunding = carriedOnTo("charge", endOf([...paid, { _tag: "Refund", reason: "asked for" }]))
    const back = following(following(refunding, dying), { _tag: "UndoStep", step: "charge" })
    assert.deepStrictEqual(back.state.finished, ["reserve"])
    const ended = following(back, { _tag: "UndoStep", step: "reserve" })
    assert.deepStrictEqual([ended.state.status, ended.state.quarantine], ["compensated", undefined])
  })

  it("is none that has ended", () => {
    assert.deepStrictEqual(following(carriedOn(born), dying), carriedOn(born))
  })
})
