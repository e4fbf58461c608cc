/**
 * What is said of a command line that cannot be understood, and how help is asked for. What is wrong is said on the
 * standard error, shortly: an answer is all that ever stands on the standard output.
 */
import { Console, Effect } from "effect"
import { type CliError, CliOutput, type Command } from "effect/cli"
import { isMode } from "./Modes.ts"
import { nearest } from "./Nearest.ts"

const hintFor = (error: CliError.NonShowHelpErrors): string => {
  if (error._tag !== "UnknownSubcommand" || error.parent?.length !== 1) return ""
  return isMode(error.subcommand) ? `\n\n  ${error.subcommand} is a mode: --mode=${error.subcommand}` : ""
}

const problemsOf = (event: CliOutput.Presenter.InvalidInvocation, formatter: CliOutput.Formatter): string =>
  [
    ...event.errors.map((error) => `${formatter.formatCliError(error)}${hintFor(error)}`),
    "",
    `\`${event.commandPath.join(" ")} --help\` tells what there is`
  ].join("\n")

/** Help that was asked for is an answer; anything else is not. */
export const presenter: CliOutput.Presenter = {
  present: Effect.fnUntraced(function* (event) {
    const formatter = yield* CliOutput.Formatter
    if (event._tag === "InvalidInvocation") return yield* Console.error(problemsOf(event, formatter))
    if (event._tag === "Help" && event.reason === "Implicit")
      return yield* Console.error(formatter.formatHelpDoc(event.helpDoc))
    yield* CliOutput.defaultPresenter.present(event)
  })
}

/** Flags of ours that take no value. */
const withoutValue = new Set(["--status", "--topics", "--database", "--json"])

interface Commands {
  readonly name: string
  readonly subcommands: Command.Command.Any["subcommands"]
}

const below = ({ subcommands }: Pick<Commands, "subcommands">): ReadonlyArray<Commands> =>
  subcommands.flatMap(({ commands }) => commands)

/** What is said of a command that help is asked for, and that is not there. */
export const unknownCommand = (path: ReadonlyArray<string>, commands: ReadonlyArray<Commands>): string | undefined => {
  let known = commands
  for (const name of path) {
    const command = known.find((one) => one.name === name)
    if (command === undefined) {
      const near = nearest(
        name,
        known.map((one) => one.name)
      )
      return `there is no command ${JSON.stringify(path.join(" "))}${near === undefined ? "" : `; did you mean ${near}?`}`
    }
    known = below(command)
  }
  return undefined
}

/**
 * What is wrong with a flag before the command that it is for, if there is one: the parser drops it without a word. It
 * is nobody's business what stands behind the last command's name.
 */
export const strayFlag = (args: ReadonlyArray<string>, commands: ReadonlyArray<Commands>): string | undefined => {
  let known = commands
  let flag: string | undefined
  for (let index = 0; index < args.length && known.length > 0; index++) {
    const arg = args[index] ?? ""
    if (arg.startsWith("-")) {
      flag ??= arg.split("=")[0]
      if (!arg.includes("=") && !withoutValue.has(arg)) index++
      continue
    }
    const command = known.find(({ name }) => name === arg)
    if (command === undefined) return undefined
    if (flag !== undefined) return `${flag} stands before \`${arg}\`: flags go behind the command that they are for`
    known = below(command)
  }
  return undefined
}
