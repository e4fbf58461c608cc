#!/usr/bin/env node
/** The one entry point: command line → mode → run. A mode is an Effect that ends when its job is done. */
import "./layers/process/Memory.ts"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Option, Schema } from "effect"
import { Argument, CliConfig, Command, Flag, GlobalFlag } from "effect/cli"
import * as Settings from "./layers/config/Settings.ts"
import * as Process from "./layers/process/Process.ts"
import { version } from "./layers/process/Version.ts"
import { deadLetters } from "./modes/DeadLetterCommands.ts"
import { simulateFlags } from "./modes/SimulateFlags.ts"

const count = Flag.Int("count").pipe(
  Flag.filter(
    (given) => given >= 1,
    () => "a whole number from 1"
  )
)

const flags = {
  mode: Flag.String("mode").pipe(
    Flag.optional,
    Flag.withDescription("The job to do; MODE in the environment says it too")
  ),
  count: count.pipe(Flag.optional, Flag.withDescription("publish, demo, simulate: how many payments")),
  queue: Flag.String("queue").pipe(Flag.optional, Flag.withDescription("publish: the queue, instead of QUEUE_NAME")),
  host: Flag.String("host").pipe(Flag.optional, Flag.withDescription("publish: the broker, instead of RABBITMQ_HOST")),
  topic: Flag.String("topic").pipe(Flag.optional, Flag.withDescription("publish: a topic for --value, not samples")),
  values: Flag.String("value").pipe(Flag.atLeast(0), Flag.withDescription("publish: a JSON value; may be repeated")),
  key: Flag.String("key").pipe(Flag.optional, Flag.withDescription("publish: what keeps the values in order")),
  status: Flag.Boolean("status").pipe(Flag.withDefault(false), Flag.withDescription("migrate: only say what is there")),
  topics: Flag.Boolean("topics").pipe(
    Flag.withDefault(false),
    Flag.withDescription("migrate: only the topics of the workers")
  ),
  database: Flag.Boolean("database").pipe(Flag.withDefault(false), Flag.withDescription("migrate: only the tables")),
  worker: Flag.String("worker").pipe(
    Flag.atLeast(0),
    Flag.withDescription("consumers, migrate: only this worker; may be repeated")
  ),
  workers: Flag.String("workers").pipe(
    Flag.optional,
    Flag.withDescription("consumers, migrate: the module that exports the workers, instead of WORKERS")
  ),
  ...simulateFlags,
  json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("Print for machines"))
}

type Flags = Command.Command.Config.Infer<typeof flags>

/** What each mode does, and how it runs; a mode's code is loaded when it is asked for. */
const modes = {
  worker: {
    does: "store the messages of a queue in the table payments",
    run: () => Effect.flatMap(load(import("./modes/Worker.ts")), ({ worker }) => worker)
  },
  migrate: {
    does: "make or upgrade the tables, and the topics of workers, then end",
    run: (given: Flags) =>
      Effect.flatMap(load(import("./modes/Migrate.ts")), ({ migrate }) =>
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
    does: "take PIX events over HTTP and publish them",
    run: () => Effect.flatMap(load(import("./modes/Api.ts")), ({ api }) => api)
  },
  simulate: {
    does: "send PIX flows to an API, and check that each is settled and audited once",
    run: (given: Flags) =>
      Effect.flatMap(load(import("./modes/Simulate.ts")), ({ simulate }) =>
        simulate({ ...given, count: Option.getOrElse(given.count, () => 100), timeoutSeconds: given.timeout })
      )
  },
  demo: {
    does: "all of it on an embedded broker and database: what `npm start` runs",
    run: (given: Flags) => Effect.flatMap(load(import("./modes/Demo.ts")), ({ demo }) => demo(given))
  }
} as const

const consumersOf = (given: { readonly workers: Option.Option<string>; readonly worker: ReadonlyArray<string> }) =>
  Effect.flatMap(load(import("./modes/Consumers.ts")), ({ consumers }) =>
    consumers({ module: Option.getOrUndefined(given.workers), names: given.worker })
  )

const publishOf = Effect.fnUntraced(function* (
  given: Pick<Flags, "count" | "host" | "json" | "key" | "queue" | "topic" | "values">
) {
  const toTopic = Option.isSome(given.topic) || given.values.length > 0
  if (toTopic) yield* (yield* load(import("./modes/PublishToTopic.ts"))).publishToTopic(given)
  else yield* (yield* load(import("./modes/Publish.ts"))).publish(given)
})

const load = <A>(module: Promise<A>) => Effect.promise(() => module)

const isMode = (name: string): name is keyof typeof modes => Object.hasOwn(modes, name)

const listOfModes = Object.entries(modes)
  .map(([name, { does }]) => `  --mode=${name.padEnd(8)} ${does}`)
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

const { count: samples, host, json, key, queue, topic, values } = flags

const publish = Command.make("publish", { topic, values, key, json, count: samples, queue, host }, publishOf).pipe(
  Command.withDescription("Publish values to a topic, or samples to a queue: the same as --mode=publish")
)

const workers = Command.make("workers", { workers: flags.workers, json: flags.json }, (given) =>
  Effect.flatMap(load(import("./modes/ListWorkers.ts")), ({ listWorkers }) =>
    listWorkers({ module: Option.getOrUndefined(given.workers), json: given.json })
  )
).pipe(Command.withDescription("List the topic workers"))

const runWorker = Command.make("runworker", { name: Argument.String("name"), workers: flags.workers }, (given) =>
  consumersOf({ workers: given.workers, worker: given.name === "all" ? [] : [given.name] })
).pipe(Command.withDescription("Run one topic worker, or all: the same as --mode=consumers"))

const command = Command.make("paystream", flags, runMode).pipe(
  Command.withSubcommands([publish, workers, runWorker, deadLetters]),
  Command.withDescription(
    `Moves payments between brokers and databases without losing or doubling one.\n\nModes:\n${listOfModes}`
  )
)

// The log's level is a setting like any other: LOG_LEVEL.
const builtIns = CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] })

Process.run(Command.run(command, { version }).pipe(Effect.provide([NodeServices.layer, builtIns])))
