/** The server process of a folder: whether it runs, and its start on a free port. */
import { readFile, rm, stat, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { Effect, Schedule } from "effect"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import * as PostgresBinaries from "./PostgresBinaries.ts"
import { attempt, host, initialize, isInitialized, readText } from "./PostgresFolder.ts"

/** The port of a fresh folder; the next free one is taken, and remembered. */
const firstPort = 54329
const portsTried = 100

/** A crash recovery of a large log takes a while. */
const startTimeoutSeconds = 60

interface Postmaster {
  readonly pid: number
  readonly port: number
  readonly isReady: boolean
}

const readPostmaster = Effect.fnUntraced(function* (folder: string) {
  const lines = (yield* readText(join(folder, "data", "postmaster.pid")))?.split("\n") ?? []
  const postmaster: Postmaster = {
    pid: Number(lines[0]),
    port: Number(lines[3]),
    isReady: lines[7]?.trim() === "ready"
  }
  return Number.isInteger(postmaster.pid) && postmaster.pid > 0 ? postmaster : undefined
})

type Process = "ours" | "dead" | "gone" | "another's"

// The number may be another process's by now: the server is the one that works in our data folder.
const processOf = (folder: string, pid: number) =>
  Effect.promise(async (): Promise<Process> => {
    const [, name, state] = /^\d+ \((.*)\) (\S)/.exec(await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")) ?? []
    if (name === undefined) return "gone"
    if (name !== "postgres") return "another's"
    if (state === "Z") return "dead" // and not yet reaped
    const ours = await stat(join(folder, "data"))
    const theirs = await stat(`/proc/${pid}/cwd`).catch(() => ours) // not ours to see, where capabilities are few
    return ours.ino === theirs.ino && ours.dev === theirs.dev ? "ours" : "another's"
  })

// Its own check of the file keeps a server that was killed from meeting what is left of it, so the file stays unless
// its number has come to mean another process.
const isRunning = Effect.fnUntraced(function* (folder: string) {
  const postmaster = yield* readPostmaster(folder)
  if (postmaster === undefined) return false
  const process = yield* processOf(folder, postmaster.pid).pipe(
    Effect.repeat({ while: (state) => state === "dead", schedule: Schedule.spaced("50 millis"), times: 200 })
  )
  if (process === "dead" || process === "another's") {
    yield* attempt("remove a stale file", () => rm(join(folder, "data", "postmaster.pid"), { force: true }))
  }
  return process === "ours"
})

const isFree = (port: number) =>
  Effect.callback<boolean>((resume) => {
    const server = createServer()
    server.once("error", () => resume(Effect.succeed(false)))
    server.listen(port, host, () => server.close(() => resume(Effect.succeed(true))))
  })

const startOn = Effect.fnUntraced(function* (
  binaries: PostgresBinaries.PostgresBinaries,
  folder: string,
  port: number
) {
  const log = join(folder, "log")
  yield* attempt("remove its old log", () => rm(log, { force: true }))
  const { exitCode, output } = yield* PostgresBinaries.run(binaries.pg_ctl, [
    ...["start", "--wait", "--timeout", `${startTimeoutSeconds}`, "--pgdata", join(folder, "data")],
    ...["--log", log, "--options", `-p ${port}`]
  ])
  if (exitCode === 0) return true
  const said = (yield* readText(log)) ?? output
  if (said.includes("Address already in use")) return false
  return yield* new EmbeddedPostgresError({
    detail: `the embedded PostgreSQL does not start: ${PostgresBinaries.lastLines(said)}`
  })
})

const startOnFreePort = Effect.fnUntraced(function* (binaries: PostgresBinaries.PostgresBinaries, folder: string) {
  const preferred = Number(yield* readText(join(folder, "port"))) || firstPort
  for (let port = preferred; port < preferred + portsTried && port < 65536; port++) {
    if (!(yield* isFree(port)) || !(yield* startOn(binaries, folder, port))) continue
    yield* attempt("remember its port", () => writeFile(join(folder, "port"), `${port}\n`))
    return
  }
  return yield* new EmbeddedPostgresError({ detail: `no free port on ${host} from ${preferred} on` })
})

/** Starts the server, unless it runs. */
export const ensureRunning = Effect.fnUntraced(function* (binaries: PostgresBinaries.PostgresBinaries, folder: string) {
  if (yield* isRunning(folder)) return
  if (!(yield* isInitialized(folder))) yield* initialize(binaries, folder)
  yield* startOnFreePort(binaries, folder)
})

/** Its port, once it is ready: the process that started it may have been killed before that. */
export const portWhenReady = (folder: string) =>
  readPostmaster(folder).pipe(
    Effect.filterOrFail(
      (postmaster) => postmaster?.isReady === true,
      () => new EmbeddedPostgresError({ detail: `the embedded PostgreSQL is not ready: see ${join(folder, "log")}` })
    ),
    Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo({ times: startTimeoutSeconds * 20 }))),
    Effect.map((postmaster) => postmaster?.port ?? 0)
  )

/** The command that stops it, and waits until it has. */
export const stopCommand = (binaries: PostgresBinaries.PostgresBinaries, folder: string) =>
  PostgresBinaries.commandLine(binaries.pg_ctl, [
    ...["stop", "--wait", "--mode", "fast", "--timeout", `${startTimeoutSeconds}`, "--pgdata", join(folder, "data")]
  ])
