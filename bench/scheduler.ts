/**
 * `bun run bench scheduler`: jobs that are due every minute, all at the same instant or over its seconds: how late they
 * begin, what an idle scheduler asks its database, and what it takes in memory.
 *
 * Every run is checked: each job once in each minute. What fails a check ends the benchmark with exit code 1.
 */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { machine } from "./machine.ts"
import { type Figures, measure } from "./scheduler/measure.ts"
import { quantile } from "./statistics.ts"
import { figure, number, table } from "./table.ts"
import * as Services from "./worker/Services.ts"

const flags = {
  jobs: Flag.Int("jobs").pipe(Flag.withDefault(10_000), Flag.withDescription("Jobs, each due every minute")),
  minutes: Flag.Int("minutes").pipe(Flag.withDefault(3), Flag.withDescription("Minutes to measure")),
  runtime: Flag.Literals("runtime", ["bun", "node", "both"]).pipe(Flag.withDefault("both")),
  due: Flag.Literals("due", ["at-once", "spread", "both"]).pipe(
    Flag.withDefault("both"),
    Flag.withDescription("At the same instant, or over the seconds of the minute")
  ),
  json: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))
}

/** Of each runtime, jobs that are due at the same instant, and jobs that are not. */
const turnsOf = (runtimes: ReadonlyArray<"bun" | "node">, due: "at-once" | "spread" | "both") =>
  runtimes.flatMap((runtime) =>
    [false, true]
      .filter((isSpread) => due === "both" || isSpread === (due === "spread"))
      .map((isSpread) => ({ runtime, isSpread }))
  )

const figuresOf = ({ lateness, ...own }: Figures) => ({
  ...own,
  runs: lateness.length,
  p50: quantile(lateness, 0.5),
  p99: quantile(lateness, 0.99),
  worst: quantile(lateness, 1)
})

const print = (all: ReadonlyArray<ReturnType<typeof figuresOf>>) =>
  table(
    ["scheduler", "runs", "late p50 ms", "p99 ms", "worst ms", "queries/s idle", "memory MiB"],
    all.map((own) => [
      `${own.isSpread ? "spread over the minute" : "at the same instant"}, on ${own.runtime}`,
      number(own.runs),
      number(own.p50),
      number(own.p99),
      number(own.worst),
      figure(own.queriesPerSecond, 1),
      number(own.residentMebibytes)
    ])
  )

const run = Effect.fnUntraced(function* (given: Command.Command.Config.Infer<typeof flags>) {
  const runtimes = given.runtime === "both" ? (["bun", "node"] as const) : [given.runtime]
  yield* Console.error("bench: starting RabbitMQ and PostgreSQL")
  const services = yield* Services.start
  const figures = yield* Effect.forEach(turnsOf(runtimes, given.due), (turn) =>
    measure(services, { ...given, ...turn })
  )
  const measured = figures.map(figuresOf)
  const { versions } = services
  if (given.json) return yield* Console.log(JSON.stringify({ machine, versions, measured }, null, 2))
  yield* Console.log(
    `${new Date().toISOString()}, ${machine}, PostgreSQL ${versions.postgres}, ${given.jobs} jobs every minute`
  )
  yield* Console.log(print(measured))
}, Effect.scoped)

/** The command, with its flags. */
export const scheduler = Command.make("scheduler", flags, run).pipe(
  Command.withDescription("Jobs that are due every minute, at the same instant and spread over it")
)
