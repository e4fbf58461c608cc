/** The variables that are set: those of the process, and below them those of `.env` in the working directory. */

import { readFileSync } from "node:fs"
import { ConfigProvider, Effect, Result } from "effect"
import { SettingsError } from "./Problem.ts"

type Variables = Readonly<Record<string, string>>

/** Where settings come from. */
export interface Environment {
  readonly variables: Variables
  /** An empty variable counts as not set (and hides the one in `.env`). */
  readonly get: (name: string) => string | undefined
  /** The text of a file that a variable names; the failure is the system's word for the reason. */
  readonly readFile: (path: string) => Result.Result<string, string>
}

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : "unreadable"

const readTextFile: Environment["readFile"] = (path) =>
  Result.try({ try: () => readFileSync(path, "utf8"), catch: codeOf })

export const make = (variables: Variables, readFile = readTextFile): Environment => ({
  variables,
  get: (name) => (Object.hasOwn(variables, name) ? variables[name] || undefined : undefined),
  readFile
})

/** The same environment with some variables set otherwise: how a flag of the command line wins. */
export const override = (environment: Environment, variables: Variables): Environment =>
  make({ ...environment.variables, ...variables }, environment.readFile)

type Variable = readonly [name: string, value: string]

/** The provider files each variable in a tree, by the parts of its name between underscores. */
const variablesBelow = (
  provider: ConfigProvider.ConfigProvider,
  path: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Variable>, ConfigProvider.SourceError> =>
  Effect.gen(function* () {
    const node = yield* provider.load([...path])
    const own: ReadonlyArray<Variable> = node?.value === undefined ? [] : [[path.join("_"), node.value]]
    if (node?._tag !== "Record") return own
    const below = yield* Effect.forEach(node.keys, (key) => variablesBelow(provider, [...path, key]))
    return own.concat(below.flat())
  })

/** The variables in a text of the form of a `.env` file. Both runtimes have a parser of their own, and they differ. */
export const parseDotEnv = (contents: string): Effect.Effect<Readonly<Record<string, string>>> =>
  variablesBelow(ConfigProvider.fromDotEnvContents(contents, { preserveEmptyStrings: true }), []).pipe(
    Effect.map((variables) => Object.fromEntries(variables)),
    Effect.orDie
  )

const readDotEnv: Effect.Effect<string, SettingsError> = Effect.suspend(() => {
  const contents = readTextFile(".env")
  if (Result.isSuccess(contents)) return Effect.succeed(contents.success)
  if (contents.failure === "ENOENT") return Effect.succeed("")
  const problem = {
    name: ".env",
    got: `a file that cannot be read (${contents.failure})`,
    takes: "a text file, or none"
  }
  return Effect.fail(new SettingsError({ problems: [problem] }))
})

/** The environment of this process. */
export const load: Effect.Effect<Environment, SettingsError> = readDotEnv.pipe(
  Effect.flatMap(parseDotEnv),
  // What a process is given is always text, whatever the type says.
  Effect.map((dotEnv) => make({ ...dotEnv, ...(process.env as Variables) }))
)
