/** Lives of payments: what commands make of one, for examples and for laws. */
import { Result, Schema } from "effect"
import { type PaymentEvent, type Step, steps } from "../../src/domain/PaymentEvent.ts"
import { decide, next, type PaymentCommand } from "../../src/domain/PaymentIntent.ts"
import { evolve, type PaymentState, requested } from "../../src/domain/PaymentState.ts"

export const beginning = {
  _tag: "Requested",
  amount: 10_000n,
  currency: "BRL",
  paymentMethod: "pm_card_visa",
  orderId: "order 1"
} as const

/** Any command, as the process, an operator or a late message might give it: legal ones and others. */
const Command = Schema.Union([
  Schema.Struct({
    _tag: Schema.Literals(["AwaitRefund", "RequireCompensation", "ResumeCompensation", "LiftQuarantine"])
  }),
  Schema.TaggedStruct("DoubtRefund", { refund: Schema.Literals(["re_1", "re_2"]) }),
  Schema.TaggedStruct("PrepareCharge", { reference: Schema.Literals(["pi_1", "pi_2"]) }),
  Schema.Struct({ _tag: Schema.Literals(["FinishStep", "UndoStep"]), step: Schema.Literals(steps) }),
  Schema.Struct({
    _tag: Schema.Literals(["Doubt", "Fail", "Refund", "FailRefund", "SetAside", "Quarantine"]),
    reason: Schema.Literals(["declined", "time-out"])
  })
])
export type Given = ReadonlyArray<PaymentCommand | { readonly _tag: "GoOn" }>

/** As many that do what is to be done next as others: else few payments would get far. */
const GoOn = Schema.TaggedStruct("GoOn", {})
export const commands = Schema.Array(Schema.Union([GoOn, Command])).check(Schema.isMaxLength(40))

export interface Life {
  readonly state: PaymentState
  readonly history: ReadonlyArray<PaymentEvent>
}

export const born: Life = { state: requested(beginning), history: [beginning] }

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
export const following = ({ history, state }: Life, given: Given[number]): Life => {
  const command = given._tag === "GoOn" ? toward(state) : given
  const events = command === undefined ? [] : Result.getOrElse(decide(state, command), () => [])
  return { state: events.reduce(evolve, state), history: [...history, ...events] }
}

/** A life after each of the commands. */
export const livesOf = (given: Given): ReadonlyArray<Life> => {
  const lives = [born]
  for (const command of given) lives.push(following(lives.at(-1) ?? born, command))
  return lives
}

export const endOf = (given: Given): Life => livesOf(given).at(-1) ?? born

export const refused = (state: PaymentState, command: PaymentCommand): boolean =>
  Result.isFailure(decide(state, command))

export const paid: ReadonlyArray<PaymentCommand> = [
  { _tag: "FinishStep", step: "reserve" },
  { _tag: "PrepareCharge", reference: "pi_1" },
  { _tag: "FinishStep", step: "charge" },
  { _tag: "FinishStep", step: "confirm" }
]

export const tagsOf = ({ history }: Life) => history.map(({ _tag }) => _tag)

/** Does what is to be done next, until there is nothing more. */
export const carriedOn = (life: Life): Life =>
  next(life.state)._tag === "Nothing" ? life : carriedOn(following(life, { _tag: "GoOn" }))

/** Does what is to be done next, until this step is undone next. */
export const carriedOnTo = (step: Step, life: Life): Life => {
  const wanted = next(life.state)
  return wanted._tag === "Undo" && wanted.step === step ? life : carriedOnTo(step, following(life, { _tag: "GoOn" }))
}
