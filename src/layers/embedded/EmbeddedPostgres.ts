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
import { join } from "node:path"
import { Context, Effect, Layer, Redacted, type Scope } from "effect"
import type { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import * as PostgresBinaries from "./PostgresBinaries.ts"
import * as PostgresFolder from "./PostgresFolder.ts"
import * as PostgresLease from "./PostgresLease.ts"
import * as PostgresServer from "./PostgresServer.ts"

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

/** Starts the server of a folder, or joins the one that runs; it is ours until the scope closes. */
export const start = Effect.fn("EmbeddedPostgres.start")(function* (
  options: EmbeddedPostgresOptions
): Effect.fn.Return<EmbeddedPostgres["Service"], EmbeddedPostgresError, Scope.Scope> {
  const binaries = yield* PostgresBinaries.find
  const folder = yield* PostgresFolder.prepare(options.dataDirectory)
  const { database, host, username } = PostgresFolder
  const passwordFile = join(folder, "password")
  const lease = yield* PostgresLease.acquire(folder, PostgresServer.stopCommand(binaries, folder))
  const password = yield* PostgresFolder.readOrMakePassword(passwordFile)
  yield* PostgresServer.ensureRunning(binaries, folder)
  const port = yield* PostgresServer.portWhenReady(folder)
  yield* lease.started
  const url = `postgresql://${username}:${encodeURIComponent(password)}@${host}:${port}/${database}`
  const secrets = { password: Redacted.make(password), url: Redacted.make(url) }
  return EmbeddedPostgres.of({ host, port, database, username, passwordFile, ...secrets })
})

/** The server of a folder while the layer is in use. */
export const layer = (options: EmbeddedPostgresOptions): Layer.Layer<EmbeddedPostgres, EmbeddedPostgresError> =>
  Layer.effect(EmbeddedPostgres, start(options))
