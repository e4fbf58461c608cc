/** What each mode does, and how it runs; a mode's code is loaded when it is asked for. */
import { Effect, Option, Schema } from "effect"
import * as Settings from "../layers/config/Settings.ts"
import { alone, commandNames, consumersOf, consumersOptions, load, publishOf, schedulerOf } from "./Commands.ts"
import { type Flags, flagsOf, type ModeName, misplaced } from "./Flags.ts"
import { nearest } from "./Nearest.ts"
import { WrongUsage } from "./WrongUsage.ts"

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
    run: (given: Flags) => Effect.flatMap(load(import("./Simulate.ts")), ({ simulate }) => simulate(given))
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
} as const satisfies Readonly<Record<ModeName, object>>

/** Whether there is a mode of this name. */
export const isMode = (name: string): name is ModeName => Object.hasOwn(modes, name)

/** All of them, a line for each. */
export const listOfModes = Object.entries(modes)
  .map(([name, { does }]) => `  --mode=${name.padEnd(9)} ${does}`)
  .join("\n")

/** What a mode does, and what it takes. */
export const pageOf = (mode: ModeName): string => {
  const taken = flagsOf(mode)
  const flags =
    taken.length === 0 ? "It takes no flags." : `\`paystream --help\` tells of its flags: ${taken.join(", ")}.`
  return `--mode=${mode}: ${modes[mode].does}.\n\n${flags} Its settings are variables of the environment.`
}

/** What people may have meant who asked for a mode that is not there. */
const hintFor = (given: string): string => {
  if (commandNames.includes(given)) return `; ${given} is a command: paystream ${given}`
  const near = nearest(given, Object.keys(modes))
  return near === undefined ? "" : `; did you mean --mode=${near}?`
}

/** No mode, or none of ours. */
export class UnknownMode extends Schema.TaggedError<UnknownMode>()("UnknownMode", { given: Schema.String }) {
  override get message(): string {
    const what =
      this.given === "" ? "no mode given" : `unknown mode ${JSON.stringify(this.given)}${hintFor(this.given)}`
    return `${what}\n\nThe modes are\n${listOfModes}\n\nThe commands are ${commandNames.join(", ")}: \`paystream --help\` tells what they do`
  }
}

/** Runs the mode that a flag names, or the environment. */
export const runMode = Effect.fnUntraced(function* (given: Flags) {
  const environment = yield* Settings.environment
  const name = Option.getOrElse(given.mode, () => environment.get("MODE") ?? "")
  if (!isMode(name)) return yield* new UnknownMode({ given: name })
  const problem = misplaced(name, given)
  if (problem !== undefined) return yield* new WrongUsage({ detail: problem })
  yield* modes[name].run(given)
})
