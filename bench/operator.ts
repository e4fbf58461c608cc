/**
 * `bun run bench operator`: the operator beside one that is written with kopf, each on a control plane of its own.
 *
 * Every figure is checked as it is measured: each PaymentJob has one Job and one pod, and has come to its end in its
 * status. What fails a check ends the benchmark with exit code 1, and no figure is printed.
 */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { atLeast, json, list, runtimes } from "./flags.ts"
import { contestantsOf, names } from "./operator/Contestant.ts"
import { measure } from "./operator/measure.ts"
import { print, report } from "./operator/report.ts"

const flags = {
  paymentJobs: atLeast(10, "payment-jobs", 1_000).pipe(Flag.withDescription("PaymentJobs that are there at once")),
  alone: atLeast(1, "alone", 50).pipe(Flag.withDescription("PaymentJobs after that, one at a time")),
  rounds: atLeast(1, "rounds", 1).pipe(Flag.withDescription("Times that every contestant has its turn")),
  runtimes,
  only: list("only", names).pipe(Flag.withDescription(`Contestants: ${names.join(",")}`)),
  json
}

const run = Effect.fnUntraced(function* ({
  json,
  only,
  runtimes,
  ...given
}: Command.Command.Config.Infer<typeof flags>) {
  const plan = { ...given, contestants: contestantsOf(only, runtimes) }
  const measured = report(plan, yield* measure(plan))
  yield* Console.log(json ? JSON.stringify(measured, null, 2) : print(measured))
}, Effect.scoped)

/** The command, with its flags. */
export const operator = Command.make("operator", flags, run).pipe(
  Command.withDescription("A thousand PaymentJobs beside an operator on kopf, and a bare one")
)
