import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import { type Child, spawn } from "./Child.ts"
import type { ServerError } from "./ServerError.ts"
import { temporaryFolder } from "./temporaryFolder.ts"

/** The runtimes that the product runs on. */
export type Runtime = "bun" | "node"

/** How to start the product. */
export interface ProgramOptions {
  readonly runtime: Runtime
  readonly args: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** Where it runs; an empty folder unless told, so that no `.env` of the caller is read. */
  readonly cwd?: string
  /** What to run instead of the product's entry point. */
  readonly main?: string
  /** A command of the shell that gets its standard output through a pipe; the exit code is then a line on the other. */
  readonly into?: string
}

const root = fileURLToPath(new URL("../../..", import.meta.url))

const commands = {
  bun: [join(root, "node_modules/.bin/bun"), "--no-env-file"],
  node: [join(root, "node_modules/.bin/node")]
} as const

/** Starts the product as a process of its own, killed with the scope. */
export const start = (options: ProgramOptions): Effect.Effect<Child, ServerError, Scope.Scope> =>
  Effect.gen(function* () {
    const cwd = options.cwd ?? (yield* temporaryFolder("program"))
    const [program, ...flags] = commands[options.runtime]
    const main = options.main ?? join(root, "src/main.ts")
    const commandLine = [program, ...flags, main, ...options.args] as const
    const [first, ...others] = options.into === undefined ? commandLine : pipeline(commandLine, options.into)
    return yield* spawn(first, others, { cwd, env: { ...cleanEnvironment(), ...options.env } })
  })

const pipeline = (commandLine: ReadonlyArray<string>, reader: string) =>
  ["sh", "-c", `{ "$@" & echo "pid $!" >&2; wait $!; echo "code $?" >&2; } | ${reader}`, "sh", ...commandLine] as const

/** Only what any program needs: an address or a switch of the caller's must not reach the product. */
const cleanEnvironment = () => {
  const { PATH, HOME, LANG, TMPDIR, USER } = process.env
  return { PATH, HOME, LANG, TMPDIR, USER }
}
