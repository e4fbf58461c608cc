/** What holds for a payment whatever commands come, legal ones and others. */
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { steps } from "../../src/domain/PaymentEvent.ts"
import { decide, next } from "../../src/domain/PaymentIntent.ts"
import { evolve, isFinal, type Status, stateOf, transitions } from "../../src/domain/PaymentState.ts"
import { born, carriedOn, commands, endOf, following, livesOf, refused } from "../support/PaymentLives.ts"

describe("Whatever commands come, a payment", () => {
  it.prop("goes only where its transitions lead, an event at a time", { given: commands }, ({ given }) => {
    const { history } = endOf(given)
    let state = born.state
    for (const event of history.slice(1)) {
      const { status } = evolve(state, event)
      const legal: ReadonlyArray<Status> = transitions[state.status]
      assert.isTrue(status === state.status || legal.includes(status), `${state.status} → ${status}`)
      state = evolve(state, event)
    }
  })

  it.prop("changes its status at most once by one command", { given: commands }, ({ given }) => {
    const lives = livesOf(given)
    for (const [index, { history, state }] of lives.slice(1).entries()) {
      const before = lives[index] ?? born
      const legal: ReadonlyArray<Status> = transitions[before.state.status]
      assert.isTrue(state.status === before.state.status || legal.includes(state.status))
      assert.isAtMost(history.length - before.history.length, 2)
    }
  })

  it.prop("is what its history comes to", { given: commands }, ({ given }) => {
    for (const { history, state } of livesOf(given)) assert.deepStrictEqual(stateOf(history), state)
  })

  it.prop("finishes steps in their order and undoes them in reverse", { given: commands }, ({ given }) => {
    for (const { state } of livesOf(given)) {
      assert.deepStrictEqual(state.finished, steps.slice(0, state.finished.length))
    }
  })

  it.prop("ends where nothing is left to do, and only there", { given: commands }, ({ given }) => {
    for (const { state } of livesOf(given)) {
      const isRequired = state.status === "compensating" && state.isCompensationRequired
      const isWaiting = isRequired || state.quarantine !== undefined
      assert.strictEqual(next(state)._tag === "Nothing", isFinal(state) || isWaiting)
      if (isFinal(state)) assert.isUndefined(state.quarantine)
      if (state.status === "failed" || state.status === "compensated") {
        assert.deepStrictEqual(state.finished, [])
        assert.strictEqual(state.wasCharged, state.status === "compensated")
      }
      if (state.status === "failed") assert.deepStrictEqual(transitions[state.status], [])
      if (state.isRefundPending) assert.deepStrictEqual(state.finished, ["reserve", "charge"])
      if (state.status === "succeeded") assert.deepStrictEqual(state.finished, steps)
    }
  })

  it.prop("comes to an end when it is carried on from there", { given: commands }, ({ given }) => {
    const lifted = following(endOf(given), { _tag: "LiftQuarantine" })
    const resumed = following(lifted, { _tag: "ResumeCompensation" })
    assert.isTrue(isFinal(carriedOn(resumed).state))
  })

  it.prop("asks for a refund anew only when the one before has come to nothing", { given: commands }, ({ given }) => {
    for (const [index, { state }] of livesOf(given).entries()) {
      const before = livesOf(given)[index - 1]?.state
      if (before === undefined || state.refundFailures.length === before.refundFailures.length) continue
      assert.strictEqual(state.refundFailures.length, before.refundFailures.length + 1)
      assert.isTrue(state.isCompensationRequired)
      assert.deepStrictEqual(state.finished, ["reserve", "charge"])
    }
  })

  it.prop("is charged under one reference, and that one is kept", { given: commands }, ({ given }) => {
    const { history } = endOf(given)
    const references = history.flatMap((event) => (event._tag === "ChargePrepared" ? [event.reference] : []))
    assert.isAtMost(references.length, 1)
    assert.isAtMost(history.filter((event) => event._tag === "StepFinished" && event.step === "charge").length, 1)
    for (const { state } of livesOf(given)) if (state.wasCharged) assert.strictEqual(state.reference, references[0])
  })

  it.prop("is changed by no command that it refuses, and by none the second time", { given: commands }, ({ given }) => {
    const repeatable = [
      "PrepareCharge",
      "Doubt",
      "Refund",
      "AwaitRefund",
      "DoubtRefund",
      "SetAside",
      "Quarantine",
      "LiftQuarantine",
      "RequireCompensation",
      "ResumeCompensation"
    ]
    for (const [index, command] of given.entries()) {
      if (command._tag === "GoOn") continue
      const { state } = endOf(given.slice(0, index + 1))
      const before = endOf(given.slice(0, index)).state
      if (refused(before, command)) assert.deepStrictEqual(state, before)
      else if (repeatable.includes(command._tag)) assert.deepStrictEqual(decide(state, command), Result.succeed([]))
    }
  })
})
