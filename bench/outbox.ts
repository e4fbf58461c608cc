/**
 * `bun run bench outbox`: the outbox relay beside a relay on bare drivers.
 *
 * Every drain is checked as it is measured: each event has come once, in order per key. What fails a check ends the
 * benchmark with exit code 1, and no figure is printed.
 */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import * as kafka from "./outbox/kafka.ts"
import { measure, parts } from "./outbox/measure.ts"
import * as rabbitMq from "./outbox/rabbitMq.ts"
import { print, report } from "./outbox/report.ts"
import { type BrokerKind, brokers } from "./outbox/Testbed.ts"

const testbeds = { rabbitmq: rabbitMq.start, kafka: kafka.start } satisfies Record<BrokerKind, unknown>

const flags = {
  broker: Flag.Literals("broker", brokers).pipe(Flag.withDefault("rabbitmq")),
  events: Flag.Int("events").pipe(Flag.withDefault(100_000), Flag.withDescription("Events to drain")),
  keys: Flag.Int("keys").pipe(Flag.withDefault(1_000), Flag.withDescription("Keys that they are spread over")),
  hotEvents: Flag.Int("hot-events").pipe(Flag.withDefault(2_000), Flag.withDescription("Events of the one hot key")),
  samples: Flag.Int("samples").pipe(Flag.withDefault(2_000), Flag.withDescription("Events for the latency, at 200/s")),
  pending: Flag.Int("pending").pipe(Flag.withDefault(1_000_000), Flag.withDescription("Events pending at the most")),
  rounds: Flag.Int("rounds").pipe(
    Flag.withDefault(3),
    Flag.withDescription("Times that every contestant has its turn")
  ),
  runtime: Flag.Literals("runtime", ["bun", "node", "both"]).pipe(Flag.withDefault("both")),
  parts: Flag.String("parts").pipe(
    Flag.withDefault(parts.join(",")),
    Flag.withDescription(`What to measure: ${parts.join(",")}`)
  ),
  json: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))
}

const run = Effect.fnUntraced(function* (given: Command.Command.Config.Infer<typeof flags>) {
  const runtimes = given.runtime === "both" ? (["bun", "node"] as const) : [given.runtime]
  yield* Console.error(`bench: starting ${given.broker} and PostgreSQL`)
  const testbed = yield* testbeds[given.broker]
  const chosen = parts.filter((part) => given.parts.split(",").includes(part))
  const figures = yield* measure(testbed, { ...given, runtimes, parts: chosen })
  const measured = report(testbed, given.rounds, figures)
  yield* Console.log(given.json ? JSON.stringify(measured, null, 2) : print(measured))
}, Effect.scoped)

/** The command, with its flags. */
export const outbox = Command.make("outbox", flags, run).pipe(
  Command.withDescription("The outbox relay beside a relay on bare drivers")
)
