/** The command line → mode → run. A mode is an Effect that ends when its job is done. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Option, Schema } from "effect"
import { CliConfig, Command, GlobalFlag } from "effect/cli"
import * as Settings from "../layers/config/Settings.ts"
import * as Process from "../layers/process/Process.ts"
import { version } from "../layers/process/Version.ts"
import { alone, consumersOf, consumersOptions, load, publishOf, schedulerOf, subcommands } from "./Commands.ts"
import { type Flags, flags } from "./Flags.ts"

/** What each mode does, and how it runs; a mode's code is loaded when it is asked for. */
const modes = {
  worker: {
    does: "store the messages of a queue in the table payments",
    run: () => alone(import("./Worker.ts").then(({ worker }) => worker))
  },
  migrate: {
    does: "make or upgrade the tables, and the topics of workers, then end",
    run: (given: Flags) =>
      Effect.flatMap(load(import("./Migrate.ts")), ({ migrate }) =>
        migrate({ ...given, module: Option.getOrUndefined(given.workers), names: given.worker })
      )
  },
  publish: {
    does: "publish sample payments to a queue, or values to a topic",
    run: (given: Flags) => publishOf(given)
  },
  consumers: {
    does: "run topic workers: the PIX system, or those of a module",
    run: (given: Flags) => consumersOf(given)
  },
  api: {
    does: "take payments and PIX events over HTTP",
    run: () => alone(import("./Api.ts").then(({ api }) => api))
  },
  simulate: {
    does: "send PIX flows to an API, and check that each is settled and audited once",
    run: (given: Flags) =>
      Effect.flatMap(load(import("./Simulate.ts")), ({ simulate }) =>
        simulate({ ...given, count: Option.getOrElse(given.count, () => 100), timeoutSeconds: given.timeout })
      )
  },
  outbox: {
    does: "publish the committed events of the table outbox_events",
    run: () => alone(import("./Outbox.ts").then(({ outbox }) => outbox))
  },
  commands: {
    does: "process payments that were asked for",
    run: () => alone(import("./PaymentCommands.ts").then(({ commands }) => commands))
  },
  scheduler: {
    does: "run jobs on their schedules",
    run: (given: Flags) => schedulerOf(given)
  },
  all: {
    does: "worker, consumers, outbox, commands and api in one process",
    run: (given: Flags) => Effect.flatMap(load(import("./All.ts")), ({ all }) => all(consumersOptions(given)))
  },
  operator: {
    does: "run payment workers in Kubernetes, a Job for each PaymentJob",
    run: () => Effect.flatMap(load(import("./Operator.ts")), ({ operator }) => operator)
  },
  demo: {
    does: "all of it on an embedded broker and database: what `npm start` runs",
    run: (given: Flags) => Effect.flatMap(load(import("./Demo.ts")), ({ demo }) => demo(given))
  }
} as const

const isMode = (name: string): name is keyof typeof modes => Object.hasOwn(modes, name)

const listOfModes = Object.entries(modes)
  .map(([name, { does }]) => `  --mode=${name.padEnd(9)} ${does}`)
  .join("\n")

/** No mode, or none of ours. */
class UnknownMode extends Schema.TaggedError<UnknownMode>()("UnknownMode", { given: Schema.String }) {
  override get message(): string {
    const what = this.given === "" ? "no mode given" : `unknown mode ${JSON.stringify(this.given)}`
    return `${what}; the modes are\n${listOfModes}`
  }
}

const runMode = Effect.fnUntraced(function* (given: Flags) {
  const environment = yield* Settings.environment
  const name = Option.getOrElse(given.mode, () => environment.get("MODE") ?? "")
  if (!isMode(name)) return yield* new UnknownMode({ given: name })
  yield* modes[name].run(given)
})

const command = Command.make("paystream", flags, runMode).pipe(
  Command.withSubcommands(subcommands),
  Command.withDescription(
    `Moves payments between brokers and databases without losing or doubling one.\n\nModes:\n${listOfModes}`
  )
)

// The log's level is a setting like any other: LOG_LEVEL.
const builtIns = CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] })

Process.run(Command.run(command, { version }).pipe(Effect.provide([NodeServices.layer, builtIns])), {
  terminationMessagePath: Effect.match(Settings.environment, {
    onFailure: () => undefined,
    onSuccess: (environment) => environment.get("TERMINATION_MESSAGE_PATH")
  })
})
