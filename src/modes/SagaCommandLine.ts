/** The flags of `sagas list | show | compensate | resume`; what they do is loaded when it is asked for. */
import { Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { json, limit } from "./Flags.ts"

const commands = Effect.promise(() => import("./SagaCommands.ts"))

const id = Argument.String("id").pipe(Argument.withDescription("The payment's id"))

const list = Command.make(
  "list",
  {
    status: Flag.String("status").pipe(
      Flag.atLeast(0),
      Flag.withDescription("Only payments of this status, or compensation_required; may be repeated")
    ),
    isStuck: Flag.Boolean("stuck").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Only payments that do not get on by themselves (PAYMENT_STUCK_AFTER), longest first")
    ),
    limit: limit(100),
    json
  },
  (given) => Effect.flatMap(commands, (sagas) => sagas.list(given))
).pipe(Command.withDescription("List payments and how they stand, latest first"))

const show = Command.make("show", { id, json }, (given) => Effect.flatMap(commands, (sagas) => sagas.show(given))).pipe(
  Command.withDescription("Show a payment: each step, and all that has happened")
)

const compensate = Command.make("compensate", { id, json }, (given) =>
  Effect.flatMap(commands, (sagas) => sagas.compensate(given))
).pipe(
  Command.withDescription(
    "Let a compensation go on that waits for an operator (ENABLE_COMPENSATION=false, or a refund that failed)"
  )
)

const resume = Command.make("resume", { id, json }, (given) =>
  Effect.flatMap(commands, (sagas) => sagas.resume(given))
).pipe(Command.withDescription("Let a payment go on that is in quarantine: its process had died of it again and again"))

/** `sagas list | show | compensate | resume`. */
export const sagas = Command.make("sagas").pipe(
  Command.withDescription("Look at payments that were asked for, and let those go on that wait for an operator"),
  Command.withSubcommands([list, show, compensate, resume])
)
