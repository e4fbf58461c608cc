/** Command line → mode or command → run. A mode is an Effect that ends when its job is done. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, Layer, Stdio } from "effect"
import { Argument, CliConfig, CliOutput, Command, GlobalFlag } from "effect/cli"
import * as Settings from "../layers/config/Settings.ts"
import { hasColors } from "../layers/config/Terminal.ts"
import * as Process from "../layers/process/Process.ts"
import { version } from "../layers/process/Version.ts"
import { subcommands } from "./Commands.ts"
import { flags } from "./Flags.ts"
import { isMode, listOfModes, pageOf, runMode } from "./Modes.ts"
import { presenter, strayFlag, unknownCommand } from "./Usage.ts"
import { WrongUsage } from "./WrongUsage.ts"

const path = Argument.String("command").pipe(
  Argument.variadic(),
  Argument.withDescription("The command, such as outbox list, or a mode")
)

const help = Command.make("help", { path }, (given) => tellOf(given.path)).pipe(
  Command.withDescription("Tell of a command or a mode")
)

const all = [...subcommands, help] as const

const command = Command.make("paystream", flags, runMode).pipe(
  Command.withSubcommands(all),
  Command.withDescription(
    `Moves payments between brokers and databases without losing or doubling one.\n\nModes:\n${listOfModes}`
  )
)

const helpOf = (path: ReadonlyArray<string>) => Command.runWith(command, { version })([...path, "--help"])

/** What is a command as well as a mode is told of as the command. */
const tellOf = Effect.fnUntraced(function* (
  path: ReadonlyArray<string>
): Effect.fn.Return<void, unknown, Command.Environment> {
  const mode = path.join(" ")
  const unknown = unknownCommand(path, all)
  if (unknown === undefined) return yield* helpOf(path) as Effect.Effect<void, unknown, Command.Environment>
  if (!isMode(mode)) return yield* new WrongUsage({ detail: unknown })
  yield* Console.log(pageOf(mode))
})

const asksForHelp = (args: ReadonlyArray<string>): boolean => args.includes("--help") || args.includes("-h")

const isCommand = (word: string): boolean => all.some(({ name }) => name === word)

const runArguments = Effect.fnUntraced(function* (args: ReadonlyArray<string>) {
  const [first = "-"] = args
  // of a word that it does not know, the parser would tell with the page of all
  if (asksForHelp(args) && !first.startsWith("-") && !isCommand(first)) return yield* tellOf([first])
  const stray = strayFlag(args, all)
  if (stray !== undefined) return yield* new WrongUsage({ detail: stray })
  yield* Command.runWith(command, { version })(args)
})

// The log's level is a setting like any other: LOG_LEVEL.
const builtIns = CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] })

/** Reads the command line, runs what it asks for, and ends the process with its exit code. */
export const main = (): void => {
  const formatter = CliOutput.layer(CliOutput.defaultFormatter({ colors: hasColors() }))
  const surroundings = Layer.mergeAll(NodeServices.layer, builtIns, formatter, CliOutput.layerPresenter(presenter))
  const program = Effect.flatMap(
    Effect.flatMap(Stdio.Stdio, ({ args }) => args),
    runArguments
  )
  Process.run(Effect.provide(program, surroundings), {
    terminationMessagePath: Effect.match(Settings.environment, {
      onFailure: () => undefined,
      onSuccess: (environment) => environment.get("TERMINATION_MESSAGE_PATH")
    })
  })
}
