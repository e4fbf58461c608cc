/**
 * A PostgreSQL of our own: the real server, from a package, with its data in a folder.
 *
 * ## Guarantees
 * - Durable as PostgreSQL's defaults are; the data survives between runs.
 * - One server for a folder, shared by every process that asks for it, and stopped by the last of them to leave; one
 *   that is killed leaves too.
 * - Reached through 127.0.0.1 alone, with a password that only the folder's owner can read.
 * - A Ctrl-C at the terminal does not reach it: it stops after us, not beside us.
 *
 * ## Assumptions
 * - Linux on x64 with util-linux (`flock`, and as root `setpriv`).
 */
import { randomBytes } from "node:crypto"
import { chown, mkdir, mkdtemp, readFile, realpath, rename, rm, stat, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { Context, Effect, Layer, Redacted, Schedule, type Scope } from "effect"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import * as PostgresBinaries from "./PostgresBinaries.ts"
import * as PostgresLease from "./PostgresLease.ts"

/** How to reach the server. */
export class EmbeddedPostgres extends Context.Service<
  EmbeddedPostgres,
  {
    readonly host: string
    readonly port: number
    readonly database: string
    readonly username: string
    readonly password: Redacted.Redacted
    /** All of the above as one address. */
    readonly url: Redacted.Redacted
    /** Where the password is, for who wants to look at the data. */
    readonly passwordFile: string
  }
>()("paystream/layers/embedded/EmbeddedPostgres") {}

/** Where the data is. */
export interface EmbeddedPostgresOptions {
  readonly dataDirectory: string
}

const host = "127.0.0.1"
const database = "payments_db"
const username = "postgres"

/** The port of a fresh folder; the next free one is taken, and remembered. */
const firstPort = 54329
const portsTried = 100

/** A crash recovery of a large log takes a while. */
const startTimeoutSeconds = 60

// No statement and no detail in the server's log: they quote what is stored.
const settings = {
  listen_addresses: host,
  unix_socket_directories: "",
  log_min_error_statement: "panic",
  log_error_verbosity: "terse"
}

const attempt = <A>(what: string, action: () => Promise<A>) =>
  Effect.tryPromise({
    try: action,
    catch: (cause) => new EmbeddedPostgresError({ detail: `the embedded PostgreSQL cannot ${what}: ${String(cause)}` })
  })

const readText = (file: string) => Effect.promise(() => readFile(file, "utf8").catch(() => undefined))

// Folder

const prepareFolder = (dataDirectory: string) =>
  attempt("use its data folder", async () => {
    await mkdir(dataDirectory, { recursive: true, mode: 0o700 })
    if (PostgresBinaries.isRoot)
      await chown(dataDirectory, PostgresBinaries.unprivilegedId, PostgresBinaries.unprivilegedId)
    return realpath(dataDirectory)
  })

const readOrMakePassword = Effect.fnUntraced(function* (file: string) {
  const known = yield* readText(file)
  if (known !== undefined && known !== "") return known
  const password = randomBytes(24).toString("base64url")
  yield* attempt("keep its password", () => writeFile(file, password, { mode: 0o600 }))
  return password
})

const initialize = Effect.fnUntraced(function* (binaries: PostgresBinaries.PostgresBinaries, folder: string) {
  const unfinished = yield* attempt("use its data folder", () => mkdtemp(join(folder, "initdb-")))
  yield* Effect.ensuring(
    Effect.gen(function* () {
      const fresh = join(unfinished, "data")
      if (PostgresBinaries.isRoot) {
        yield* attempt("use its data folder", () => chown(unfinished, PostgresBinaries.unprivilegedId, -1))
      }
      yield* PostgresBinaries.runOrFail(binaries.initdb, initdbArguments(folder, fresh))
      yield* PostgresBinaries.runOrFail(
        binaries.postgres,
        ["--single", "-D", fresh, "postgres"],
        `CREATE DATABASE ${database}\n`
      )
      // renamed when it is whole: a crash before this leaves no half of a database behind
      yield* attempt("use its data folder", () => rename(fresh, join(folder, "data")))
    }),
    Effect.promise(() => rm(unfinished, { recursive: true, force: true }))
  )
})

const initdbArguments = (folder: string, dataDirectory: string) => [
  ...["--pgdata", dataDirectory, "--username", username, "--pwfile", join(folder, "password")],
  ...["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-instructions"],
  ...Object.entries(settings).map(([name, value]) => `--set=${name}=${value}`)
]

// Server

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

// The number may be another process's by now: the server is the one that works in our data folder.
const isAlive = (folder: string, pid: number) =>
  Effect.promise(async () => {
    const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")
    if (name.trim() !== "postgres") return false
    const ours = await stat(join(folder, "data"))
    const theirs = await stat(`/proc/${pid}/cwd`).catch(() => ours) // not ours to see, where capabilities are few
    return ours.ino === theirs.ino && ours.dev === theirs.dev
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

const ensureRunning = Effect.fnUntraced(function* (binaries: PostgresBinaries.PostgresBinaries, folder: string) {
  const postmaster = yield* readPostmaster(folder)
  if (postmaster !== undefined) {
    if (yield* isAlive(folder, postmaster.pid)) return
    yield* Effect.logDebug("the embedded PostgreSQL was not stopped; it recovers")
    yield* attempt("remove a stale file", () => rm(join(folder, "data", "postmaster.pid"), { force: true }))
  }
  const isInitialized = (yield* readText(join(folder, "data", "PG_VERSION"))) !== undefined
  if (!isInitialized) yield* initialize(binaries, folder)
  yield* startOnFreePort(binaries, folder)
})

// The process that started it may have been killed before it was ready.
const portWhenReady = (folder: string) =>
  readPostmaster(folder).pipe(
    Effect.filterOrFail(
      (postmaster) => postmaster?.isReady === true,
      () => new EmbeddedPostgresError({ detail: `the embedded PostgreSQL is not ready: see ${join(folder, "log")}` })
    ),
    Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo({ times: startTimeoutSeconds * 20 }))),
    Effect.map((postmaster) => postmaster?.port ?? 0)
  )

const stopCommand = (binaries: PostgresBinaries.PostgresBinaries, folder: string) =>
  PostgresBinaries.commandLine(binaries.pg_ctl, [
    ...["stop", "--wait", "--mode", "fast", "--timeout", `${startTimeoutSeconds}`, "--pgdata", join(folder, "data")]
  ])

/** Starts the server of a folder, or joins the one that runs; it is ours until the scope closes. */
export const start = Effect.fn("EmbeddedPostgres.start")(function* (
  options: EmbeddedPostgresOptions
): Effect.fn.Return<EmbeddedPostgres["Service"], EmbeddedPostgresError, Scope.Scope> {
  const binaries = yield* PostgresBinaries.find
  const folder = yield* prepareFolder(options.dataDirectory)
  const passwordFile = join(folder, "password")
  const lease = yield* PostgresLease.acquire(folder, stopCommand(binaries, folder))
  const password = yield* readOrMakePassword(passwordFile)
  yield* ensureRunning(binaries, folder)
  const port = yield* portWhenReady(folder)
  yield* lease.started
  const url = `postgresql://${username}:${encodeURIComponent(password)}@${host}:${port}/${database}`
  const secrets = { password: Redacted.make(password), url: Redacted.make(url) }
  return EmbeddedPostgres.of({ host, port, database, username, passwordFile, ...secrets })
})

/** The server of a folder while the layer is in use. */
export const layer = (options: EmbeddedPostgresOptions): Layer.Layer<EmbeddedPostgres, EmbeddedPostgresError> =>
  Layer.effect(EmbeddedPostgres, start(options))
