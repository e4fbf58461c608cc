import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Result, Schema } from "effect"
import { largest } from "../../src/domain/Money.ts"
import { PaymentEvent, type Step, steps } from "../../src/domain/PaymentEvent.ts"
import {
  decide,
  evolve,
  isFinal,
  next,
  type PaymentCommand,
  type PaymentState,
  requested,
  type Status,
  stateOf,
  transitions
} from "../../src/domain/PaymentIntent.ts"

const beginning = {
  _tag: "Requested",
  amount: 10_000n,
  currency: "BRL",
  paymentMethod: "pm_card_visa",
  orderId: "order 1"
} as const

/** Any command, as the process, an operator or a late message might give it: legal ones and others. */
const Command = Schema.Union([
  Schema.Struct({ _tag: Schema.Literals(["AwaitRefund", "RequireCompensation", "ResumeCompensation"]) }),
  Schema.TaggedStruct("DoubtRefund", { refund: Schema.Literals(["re_1", "re_2"]) }),
  Schema.TaggedStruct("PrepareCharge", { reference: Schema.Literals(["pi_1", "pi_2"]) }),
  Schema.Struct({ _tag: Schema.Literals(["FinishStep", "UndoStep"]), step: Schema.Literals(steps) }),
  Schema.Struct({
    _tag: Schema.Literals(["Doubt", "Fail", "Refund", "FailRefund", "SetAside"]),
    reason: Schema.Literals(["declined", "time-out"])
  })
])
type Given = ReadonlyArray<PaymentCommand | { readonly _tag: "GoOn" }>

/** As many that do what is to be done next as others: else few payments would get far. */
const GoOn = Schema.TaggedStruct("GoOn", {})
const commands = Schema.Array(Schema.Union([GoOn, Command])).check(Schema.isMaxLength(40))

interface Life {
  readonly state: PaymentState
  readonly history: ReadonlyArray<PaymentEvent>
}

const born: Life = { state: requested(beginning), history: [beginning] }

/** A command that does what is to be done next, if there is something. */
const toward = (state: PaymentState): PaymentCommand | undefined => {
  const wanted = next(state)
  if (wanted._tag === "ResolveDoubt") return { _tag: "FinishStep", step: "charge" }
  if (wanted._tag === "ResolveRefund") return { _tag: "UndoStep", step: "charge" }
  if (wanted._tag === "Undo") return { _tag: "UndoStep", step: wanted.step }
  if (wanted._tag !== "Do") return undefined
  const isNew = wanted.step === "charge" && state.reference === undefined
  return isNew ? { _tag: "PrepareCharge", reference: "pi_1" } : { _tag: "FinishStep", step: wanted.step }
}

/** What a command makes of it; the same where it is refused. */
const following = ({ history, state }: Life, given: Given[number]): Life => {
  const command = given._tag === "GoOn" ? toward(state) : given
  const events = command === undefined ? [] : Result.getOrElse(decide(state, command), () => [])
  return { state: events.reduce(evolve, state), history: [...history, ...events] }
}

/** A life after each of the commands. */
const livesOf = (given: Given): ReadonlyArray<Life> => {
  const lives = [born]
  for (const command of given) lives.push(following(lives.at(-1) ?? born, command))
  return lives
}

const endOf = (given: Given): Life => livesOf(given).at(-1) ?? born

const refused = (state: PaymentState, command: PaymentCommand): boolean => Result.isFailure(decide(state, command))

const paid: ReadonlyArray<PaymentCommand> = [
  { _tag: "FinishStep", step: "reserve" },
  { _tag: "PrepareCharge", reference: "pi_1" },
  { _tag: "FinishStep", step: "charge" },
  { _tag: "FinishStep", step: "confirm" }
]

const tagsOf = ({ history }: Life) => history.map(({ _tag }) => _tag)

/** Does what is to be done next, until there is nothing more. */
const carriedOn = (life: Life): Life =>
  next(life.state)._tag === "Nothing" ? life : carriedOn(following(life, { _tag: "GoOn" }))

/** Does what is to be done next, until this step is undone next. */
const carriedOnTo = (step: Step, life: Life): Life => {
  const wanted = next(life.state)
  return wanted._tag === "Undo" && wanted.step === step ? life : carriedOnTo(step, following(life, { _tag: "GoOn" }))
}

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
    assert.deepStrictEqual(decide(born.state, { _tag: "FinishStep", step: "reserve" }), Result.succeed([
      { _tag: "Begun" },
      { _tag: "StepFinished", step: "reserve" }
    ]))
  })

  it("goes on where an earlier version has begun it before its order was reserved", () => {
    const begun = stateOf([beginning, { _tag: "Begun" }])
    assert(begun !== undefined)
    assert.deepStrictEqual(next(begun), { _tag: "Do", step: "reserve" })
    const end = carriedOn({ state: begun, history: [beginning, { _tag: "Begun" }] })
    assert.strictEqual(end.state.status, "succeeded")
    assert.lengthOf(end.history.filter(({ _tag }) => _tag === "Begun"), 1)
  })

  it("is not begun where it cannot be had: it fails at once", () => {
    const end = following(born, { _tag: "Fail", reason: "order_taken" })
    assert.deepStrictEqual(tagsOf(end), ["Requested", "Failed"])
  })
})

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
      const isWaiting = state.status === "compensating" && state.isCompensationRequired
      assert.strictEqual(next(state)._tag === "Nothing", isFinal(state) || isWaiting)
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
    const resumed = following(endOf(given), { _tag: "ResumeCompensation" })
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
