/** The folder of the embedded PostgreSQL: `data` (the cluster), `password`, `port`, `log`, and the locks of its users. */
import { randomBytes } from "node:crypto"
import { chown, mkdir, mkdtemp, readFile, realpath, rename, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import * as PostgresBinaries from "./PostgresBinaries.ts"

/** The one address that the server listens on. */
export const host = "127.0.0.1"

/** The database that is made with the cluster, and its owner. */
export const database = "payments_db"
export const username = "postgres"

// No statement and no detail in the server's log: they quote what is stored.
const settings = {
  listen_addresses: host,
  unix_socket_directories: "",
  log_min_error_statement: "panic",
  log_error_verbosity: "terse"
}

/** Something done to the folder; its failure names what we wanted. */
export const attempt = <A>(what: string, action: () => Promise<A>) =>
  Effect.tryPromise({
    try: action,
    catch: (cause) => new EmbeddedPostgresError({ detail: `the embedded PostgreSQL cannot ${what}: ${String(cause)}` })
  })

/** A file's text, if there is one. */
export const readText = (file: string) => Effect.promise(() => readFile(file, "utf8").catch(() => undefined))

/** Makes the folder, with its owner; gives its one true name. */
export const prepare = (dataDirectory: string) =>
  attempt("use its data folder", async () => {
    await mkdir(dataDirectory, { recursive: true, mode: 0o700 })
    if (PostgresBinaries.isRoot)
      await chown(dataDirectory, PostgresBinaries.unprivilegedId, PostgresBinaries.unprivilegedId)
    return realpath(dataDirectory)
  })

/** The password, made once, for the owner's eyes only. */
export const readOrMakePassword = Effect.fnUntraced(function* (file: string) {
  const known = yield* readText(file)
  if (known !== undefined && known !== "") return known
  const password = randomBytes(24).toString("base64url")
  yield* attempt("keep its password", () => writeFile(file, password, { mode: 0o600 }))
  return password
})

/** Whether there is a cluster. */
export const isInitialized = (folder: string) =>
  Effect.map(readText(join(folder, "data", "PG_VERSION")), (version) => version !== undefined)

/** Makes the cluster. */
export const initialize = Effect.fnUntraced(function* (binaries: PostgresBinaries.PostgresBinaries, folder: string) {
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
