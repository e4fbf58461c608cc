/**
 * `bun run bench worker`: the payment worker beside bare drivers and beside one message at a time.
 *
 * Every figure is checked as it is measured: each message stored once with its own payload, the queue empty, the exit
 * code 0. What fails a check ends the benchmark with exit code 1, and no figure is printed.
 */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { type Contestant, names } from "./worker/Contestant.ts"
import { measure, type Plan, parts } from "./worker/measure.ts"
import { print } from "./worker/print.ts"
import { report } from "./worker/report.ts"
import * as Services from "./worker/Services.ts"

/** A list with commas between; all unless told. */
const list = <const A extends string>(name: string, all: ReadonlyArray<A>) =>
  Flag.String(name).pipe(
    Flag.mapTryCatch((text) => text.split(",").map((word) => oneOf(all, word)), String),
    Flag.withDefault(all)
  )

const oneOf = <A extends string>(all: ReadonlyArray<A>, word: string): A => {
  const found = all.find((one) => one === word)
  if (found === undefined) throw new Error(`"${word}" is none of ${all.join(", ")}`)
  return found
}

const atLeast = (minimum: number, name: string, otherwise: number) =>
  Flag.Int(name).pipe(
    Flag.filter(
      (value) => value >= minimum,
      () => `--${name} takes a number from ${minimum} on`
    ),
    Flag.withDefault(otherwise)
  )

const flags = {
  messages: atLeast(2_000, "messages", 100_000).pipe(Flag.withDescription("Messages to drain")),
  messagesOneAtATime: atLeast(100, "messages-one-at-a-time", 2_000).pipe(
    Flag.withDescription("Messages for the loop that takes one at a time")
  ),
  samples: atLeast(1, "samples", 600).pipe(Flag.withDescription("Messages for the latency, all rounds together")),
  rounds: atLeast(1, "rounds", 3).pipe(Flag.withDescription("Times that every contestant has its turn")),
  runtime: Flag.Literals("runtime", ["bun", "node", "both"]).pipe(Flag.withDefault("both")),
  only: list("only", names).pipe(Flag.withDescription(`Contestants: ${names.join(",")}`)),
  parts: list("parts", parts).pipe(Flag.withDescription(`What to measure: ${parts.join(",")}`)),
  memory: Flag.Boolean("memory").pipe(
    Flag.withDescription("Only the product, drained once; for the peak of its memory with a long queue"),
    Flag.withDefault(false)
  ),
  json: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))
}

type Flags = Command.Command.Config.Infer<typeof flags>

const planOf = ({ memory, only, parts, runtime, ...numbers }: Flags): Plan => {
  const runtimes = runtime === "both" ? (["bun", "node"] as const) : [runtime]
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
