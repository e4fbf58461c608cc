/** `erase`, as the command line takes it; what it does is loaded when it is asked for. */
import { Effect, type Option } from "effect"
import { Command, Flag } from "effect/cli"
import { json } from "./Flags.ts"

// Empty is what a script says whose variable is not set: that is nobody's name.
const text = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.filter(
      (given) => given.trim() !== "",
      () => "a text that is not empty"
    ),
    Flag.optional,
    Flag.withDescription(description)
  )

const flags = {
  payer: text("payer", "What stands in a personal field, as it was written: a name, a document, a payment method"),
  payment: text("payment", "The id of a payment, or of a message"),
  transaction: text("transaction", "The id of a PIX transaction"),
  by: text("by", "Who asks for it; the user of the system by default"),
  dryRun: Flag.Boolean("dry-run").pipe(Flag.withDefault(false), Flag.withDescription("Only say what would be erased")),
  json
}

/** What was given. */
export interface EraseOptions {
  readonly payer: Option.Option<string>
  readonly payment: Option.Option<string>
  readonly transaction: Option.Option<string>
  readonly by: Option.Option<string>
  readonly dryRun: boolean
  readonly json: boolean
}

/** Erases a person's data. */
export const erase = Command.make("erase", flags, (given) =>
  Effect.flatMap(
    Effect.promise(() => import("./Erase.ts")),
    ({ erase }) => erase(given)
  )
).pipe(Command.withDescription("Erase a person's data from all tables; amounts, ids and states stay"))
