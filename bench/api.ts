/**
 * `bun run bench api`: the HTTP API beside a bare handler of the same runtime that publishes with a confirm.
 *
 * Every figure is checked as it is measured: the broker holds as many messages as requests were answered 200, nothing
 * else was answered, and the exit code is 0. What fails a check ends the benchmark with exit code 1, and no figure is
 * printed.
 */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { measure } from "./api/measure.ts"
import { print, report } from "./api/report.ts"
import * as beside from "./beside.ts"
import { atLeast } from "./flags.ts"
import * as Services from "./worker/Services.ts"

const flags = {
  connections: atLeast(1, "connections", 64).pipe(Flag.withDescription("Clients, each with one request at a time")),
  seconds: atLeast(1, "seconds", 8).pipe(Flag.withDescription("How long each turn is measured, after its warm-up")),
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
export const api = Command.make("api", flags, run).pipe(
  Command.withDescription("The HTTP API beside a bare handler that publishes with a confirm")
)
