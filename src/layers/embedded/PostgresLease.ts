/**
 * Who uses the server: it lives as long as one process holds a lease on it, and the last one out stops it.
 *
 * A lease is a shared `flock` held by a small shell, in a session of its own, whose standard input we hold open. When we
 * end, however we end (a `kill -9` included), it reads the end of that input and asks for the lock alone: who gets it
 * was the last, and stops the server. Whoever comes meanwhile waits until it has stopped, and starts it again.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process"
import type { Readable, Writable } from "node:stream"
import { Effect, type Scope } from "effect"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"

/** A lease, while the scope is open. Nobody else starts the server until `started` has run. */
export interface PostgresLease {
  readonly started: Effect.Effect<void>
}

type Holder = ChildProcessByStdio<Writable, Readable, null>

const script = `
exec 8>>"$1/start.lock" 9>>"$1/users.lock"
shift
flock --exclusive 8
flock --shared 9
echo leased
read -r started
exec 8>&-
cat >/dev/null
flock --exclusive --nonblock 9 || exit 0
exec "$@" >/dev/null 2>&1
`

const spawnHolder = (folder: string, stop: ReadonlyArray<string>): Holder =>
  spawn("/bin/sh", ["-c", script, "lease", folder, ...stop], {
    detached: true,
    cwd: "/",
    stdio: ["pipe", "pipe", "ignore"]
  })

const untilLeased = (holder: Holder): Effect.Effect<void, EmbeddedPostgresError> =>
  Effect.callback((resume) => {
    const fail = (why: string) =>
      resume(Effect.fail(new EmbeddedPostgresError({ detail: `the embedded PostgreSQL cannot be leased: ${why}` })))
    holder.once("error", (error) => fail(error.message))
    holder.once("exit", () => fail("`flock` (of util-linux) is needed, and the data folder must be writable"))
    holder.stdout.once("data", () => resume(Effect.void))
    return Effect.sync(() => void holder.kill())
  })

const release = (holder: Holder): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (holder.pid === undefined || holder.exitCode !== null || holder.signalCode !== null) return resume(Effect.void)
    holder.once("exit", () => resume(Effect.void))
    holder.stdin.end()
  })

/** Takes a lease on the server of `folder`; `stop` is the command that stops it. Its release waits for that stop. */
export const acquire = (
  folder: string,
  stop: ReadonlyArray<string>
): Effect.Effect<PostgresLease, EmbeddedPostgresError, Scope.Scope> =>
  Effect.gen(function* () {
    const holder = yield* Effect.acquireRelease(
      Effect.sync(() => spawnHolder(folder, stop)),
      release
    )
    holder.stdin.on("error", () => undefined)
    yield* untilLeased(holder)
    return { started: Effect.sync(() => void holder.stdin.write("started\n")) }
  })
