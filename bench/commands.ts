/**
 * `bun run bench commands`: payments through the sandbox gateway, beside a worker on bare drivers that does the same.
 *
 * Every figure is checked as it is measured: each payment has succeeded, was charged once, with its history and its
 * events, and the money that is recorded is the money that was charged. What fails a check ends the benchmark with exit
 * code 1, and no figure is printed.
 */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import * as beside from "./beside.ts"
import { measure } from "./commands/measure.ts"
import { print, report } from "./commands/report.ts"
import { atLeast } from "./flags.ts"
import * as Services from "./worker/Services.ts"

const flags = {
  payments: atLeast(100, "payments", 10_000).pipe(Flag.withDescription("Payments to process")),
  delay: Flag.String("delay").pipe(
    Flag.withDefault("0,50"),
    Flag.withDescription("Milliseconds that the sandbox takes for each of its two requests, with commas between"),
    Flag.map((text) => text.split(",").map(Number)),
    Flag.filter(
      (delays) => delays.every((delay) => Number.isInteger(delay) && delay >= 0),
      () => "--delay takes whole numbers from 0 on"
    )
  ),
  ...beside.flags
}

const run = Effect.fnUntraced(function* ({ json, ...given }: Command.Command.Config.Infer<typeof flags>) {
  const plan = beside.planOf(given)
  yield* Console.error("bench: starting RabbitMQ and PostgreSQL")
  const services = yield* Services.start
  const measured = report(services, plan, yield* measure(services, plan))
  yield* Console.log(json ? JSON.stringify(measured, null, 2) : print(measured))
}, Effect.scoped)

/** The command, with its flags. */
export const commands = Command.make("commands", flags, run).pipe(
  Command.withDescription("Payments through the sandbox gateway beside a worker on bare drivers")
)
