import { type ChildProcess, spawn as spawnProcess, spawnSync } from "node:child_process"
import { constants } from "node:os"
import { createInterface } from "node:readline"
import type { Readable } from "node:stream"
import { Deferred, type Duration, Effect, type Scope } from "effect"
import { eventually } from "./eventually.ts"
import { ServerError } from "./ServerError.ts"

/** Who a process runs as, where it may not be root. */
export interface Account {
  readonly uid: number
  readonly gid: number
}

/** How to start a process. The environment is given whole: nothing is inherited unnoticed. */
export interface ChildOptions {
  readonly cwd?: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly account?: Account | undefined
}

/** A running process. */
export interface Child {
  readonly pid: number
  /** The lines written so far. */
  readonly stdout: ReadonlyArray<string>
  readonly stderr: ReadonlyArray<string>
  /** The exit code, 128 + n after signal n, once the process has ended and its output is read. */
  readonly exit: Effect.Effect<number>
  readonly kill: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Waits for a line, written already or to come, on either output; a minute unless told. */
  readonly waitForLine: (
    pattern: RegExp,
    options?: { readonly deadline: Duration.Input }
  ) => Effect.Effect<string, ServerError>
}

/** Starts a process that cannot outlive us: not its scope, and on Linux not even our own sudden death. */
export const spawn = (
  program: string,
  args: ReadonlyArray<string>,
  options: ChildOptions
): Effect.Effect<Child, ServerError, Scope.Scope> =>
  Effect.acquireRelease(start([...prefixOf(options.account), program, ...args], options), (child) =>
    Effect.andThen(child.kill("SIGKILL"), child.exit)
  )

const start = (commandLine: ReadonlyArray<string>, { cwd, env }: ChildOptions): Effect.Effect<Child, ServerError> =>
  Effect.callback((resume) => {
    const [program = "", ...args] = commandLine
    const child = spawnProcess(program, args, { cwd, env: { ...env }, stdio: ["ignore", "pipe", "pipe"] })
    const handle = observe(commandLine.join(" "), child)
    child.once("spawn", () => resume(Effect.succeed(handle)))
    child.once("error", (cause) => resume(new ServerError({ message: `cannot start ${program}`, cause })))
  })

const observe = (commandLine: string, child: ChildProcess): Child => {
  const stdout = linesOf(child.stdout)
  const stderr = linesOf(child.stderr)
  const find = (pattern: RegExp) =>
    Effect.suspend(() => {
      const written = [...stdout, ...stderr]
      const line = written.find((line) => pattern.test(line))
      if (line !== undefined) return Effect.succeed(line)
      const last = written.slice(-20).join("\n")
      return new ServerError({ message: `no line matches ${pattern} in what ${commandLine} wrote, at last:\n${last}` })
    })
  return {
    pid: child.pid ?? 0,
    stdout,
    stderr,
    exit: Deferred.await(endOf(child)),
    kill: (signal) => Effect.sync(() => void child.kill(signal)),
    waitForLine: (pattern, options) => eventually(find(pattern), options ?? { deadline: "60 seconds" })
  }
}

const endOf = (child: ChildProcess): Deferred.Deferred<number> => {
  const ended = Deferred.makeUnsafe<number>()
  child.once("exit", (code, signal) => {
    const end = () => Deferred.doneUnsafe(ended, Effect.succeed(code ?? 128 + constants.signals[signal ?? "SIGKILL"]))
    child.once("close", end)
    // a process of its own that it left behind may hold its output open
    setTimeout(end, 500).unref()
  })
  return ended
}

const linesOf = (output: Readable | null): ReadonlyArray<string> => {
  const lines: Array<string> = []
  if (output !== null) createInterface({ input: output }).on("line", (line) => lines.push(line))
  return lines
}

const dieWithUs = ["--pdeathsig", "KILL"]
const canDieWithUs = spawnSync("setpriv", [...dieWithUs, "true"]).status === 0

/** `setpriv` gives way to the program it is asked to run: the process id stays the program's own. */
const prefixOf = (account: Account | undefined): ReadonlyArray<string> => {
  const as = account ? ["--reuid", `${account.uid}`, "--regid", `${account.gid}`, "--clear-groups"] : []
  const words = canDieWithUs ? [...as, ...dieWithUs] : as
  return words.length > 0 ? ["setpriv", ...words] : []
}
