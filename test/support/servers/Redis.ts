import { randomUUID } from "node:crypto"
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import { createClient } from "redis"
import { spawn } from "./Child.ts"
import { freePort } from "./freePort.ts"
import { givenByAddress, ownContainer, ownProcess, type ServerControl } from "./ServerControl.ts"
import { ServerError } from "./ServerError.ts"
import { findAny, findOwn, type Source, type Wanted } from "./Source.ts"
import { temporaryFolder } from "./temporaryFolder.ts"

/** A Redis to test with. */
export interface RedisServer extends ServerControl {
  readonly url: string
  readonly host: string
  readonly port: number
  /** Runs a command on it, and gives its reply. */
  readonly send: (...args: ReadonlyArray<string>) => Effect.Effect<unknown, ServerError>
}

const wanted: Wanted = {
  name: "Redis",
  variable: "TEST_REDIS_URL",
  program: "redis-server",
  folders: () => [],
  debianPackage: "redis-server"
}

/** Says what to install when no Redis can be had here. */
export const find: Effect.Effect<Source, ServerError> = findAny(wanted)

/** The Redis given in TEST_REDIS_URL, or else one of our own. */
export const start: Effect.Effect<RedisServer, ServerError, Scope.Scope> = Effect.flatMap(find, (source) =>
  source._tag === "Address" ? Effect.succeed(at(source.url, givenByAddress)) : startFrom(source)
)

/** Always one of our own, which the test may stop. */
export const startOwn: Effect.Effect<RedisServer, ServerError, Scope.Scope> = Effect.suspend(() =>
  Effect.flatMap(findOwn(wanted), startFrom)
)

const startFrom = (source: Exclude<Source, { _tag: "Address" }>) =>
  source._tag === "Binary" ? startBinary(source.folder) : startContainer

const at = (url: string, control: ServerControl): RedisServer => {
  const { hostname, port } = new URL(url)
  return { ...control, url, host: hostname, port: Number(port || 6379), send: (...args) => send(url, args) }
}

const send = (url: string, args: ReadonlyArray<string>): Effect.Effect<unknown, ServerError> =>
  Effect.tryPromise({
    try: async () => {
      const client = createClient({ url, socket: { reconnectStrategy: false, connectTimeout: 5000 } })
      // a server that is stopped under an open connection is not an error here
      client.on("error", () => {})
      await client.connect()
      return client.sendCommand([...args]).finally(() => client.destroy())
    },
    catch: (cause) => new ServerError({ message: `Redis at ${url} does not run ${args[0]}: ${cause}`, cause })
  })

const addressOf = (port: number) => `redis://127.0.0.1:${port}`

/** What it was told is on its disk at once: the data survives a kill. */
const durable = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]

const startBinary = (binaries: string) =>
  Effect.gen(function* () {
    const folder = yield* temporaryFolder("redis")
    const port = yield* freePort
    const args = ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder, ...durable]
    const control = yield* ownProcess({
      spawn: spawn(join(binaries, "redis-server"), args, {
        env: { PATH: process.env.PATH, LANG: "C.UTF-8" },
        cwd: folder
      }),
      ready: send(addressOf(port), ["PING"]),
      stopSignal: "SIGTERM"
    })
    return at(addressOf(port), control)
  })

const startContainer = Effect.gen(function* () {
  const port = yield* freePort
  const control = yield* ownContainer({
    name: `paystream-redis-${randomUUID()}`,
    createArguments: ["--publish", `127.0.0.1:${port}:6379`, "redis:7", "redis-server", ...durable],
    ready: send(addressOf(port), ["PING"])
  })
  return at(addressOf(port), control)
})
