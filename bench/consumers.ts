/**
 * `bun run bench consumers`: a topic worker that passes messages on, beside the bare driver doing the same.
 *
 * Every figure is checked as it is measured: each input has exactly one output, in order within its key, no input is
 * left unsettled, and the exit code is 0. What fails a check ends the benchmark with exit code 1, and no figure is
 * printed.
 */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import * as beside from "./beside.ts"
import * as embedded from "./consumers/embedded.ts"
import * as kafka from "./consumers/kafka.ts"
import { type BrokerKind, brokers, measure, type Plan } from "./consumers/measure.ts"
import * as rabbitMq from "./consumers/rabbitMq.ts"
import { print, report } from "./consumers/report.ts"
import { atLeast } from "./flags.ts"

const flags = {
  broker: Flag.Literals("broker", brokers).pipe(Flag.withDefault("rabbitmq")),
  messages: atLeast(2_000, "messages", 100_000).pipe(Flag.withDescription("Messages to pass on")),
  ...beside.flags
}

const testbeds = { rabbitmq: rabbitMq.start, kafka: kafka.start, embedded: embedded.start } satisfies Record<
  BrokerKind,
  unknown
>

const run = Effect.fnUntraced(function* ({ json, ...given }: Command.Command.Config.Infer<typeof flags>) {
  const plan: Plan = beside.planOf(given)
  yield* Console.error(`bench: starting ${plan.broker}`)
  const testbed = yield* testbeds[plan.broker]
  const measured = report(testbed, plan, yield* measure(testbed, plan))
  yield* Console.log(json ? JSON.stringify(measured, null, 2) : print(measured))
}, Effect.scoped)

/** The command, with its flags. */
export const consumers = Command.make("consumers", flags, run).pipe(
  Command.withDescription("A topic worker from topic to topic beside the bare driver")
)
