/**
 * `bun run bench worker`: the payment worker beside bare drivers and beside one message at a time.
 *
 * Every figure is checked as it is measured: each message stored once with its own payload, the queue empty, the exit
 * code 0. What fails a check ends the benchmark with exit code 1, and no figure is printed.
 */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { atLeast, json, list, rounds, runtimes } from "./flags.ts"
import { type Contestant, names } from "./worker/Contestant.ts"
import { measure, type Plan, parts } from "./worker/measure.ts"
import { print } from "./worker/print.ts"
import { report } from "./worker/report.ts"
import * as Services from "./worker/Services.ts"

const flags = {
  messages: atLeast(2_000, "messages", 100_000).pipe(Flag.withDescription("Messages to drain")),
  messagesOneAtATime: atLeast(100, "messages-one-at-a-time", 2_000).pipe(
    Flag.withDescription("Messages for the loop that takes one at a time")
  ),
  samples: atLeast(1, "samples", 600).pipe(Flag.withDescription("Messages for the latency, all rounds together")),
  rounds,
  runtimes,
  only: list("only", names).pipe(Flag.withDescription(`Contestants: ${names.join(",")}`)),
  parts: list("parts", parts).pipe(Flag.withDescription(`What to measure: ${parts.join(",")}`)),
  memory: Flag.Boolean("memory").pipe(
    Flag.withDescription("Only the product, drained once; for the peak of its memory with a long queue"),
    Flag.withDefault(false)
  ),
  json
}

type Flags = Command.Command.Config.Infer<typeof flags>

const planOf = ({ memory, only, parts, runtimes, ...numbers }: Flags): Plan => {
  const contestants = runtimes.flatMap((runtime) =>
    (memory ? (["product"] as const) : only).map((name): Contestant => ({ name, runtime }))
  )
  return { ...numbers, contestants, ...(memory ? { parts: ["drain"], rounds: 1 } : { parts }) }
}

const run = Effect.fnUntraced(function* (flags: Flags) {
  const plan = planOf(flags)
  yield* Console.error("bench: starting RabbitMQ and PostgreSQL")
  const services = yield* Services.start
  const measured = report(services, plan, yield* measure(services, plan))
  yield* Console.log(flags.json ? JSON.stringify(measured, null, 2) : print(measured, plan.parts))
}, Effect.scoped)

/** The command, with its flags. */
export const worker = Command.make("worker", flags, run).pipe(
  Command.withDescription("The payment worker beside bare drivers and beside one message at a time")
)
