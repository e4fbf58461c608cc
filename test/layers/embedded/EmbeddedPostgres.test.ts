import { readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as EmbeddedPostgres from "../../../src/layers/embedded/EmbeddedPostgres.ts"
import { dataFolder, keepPort, rememberPort } from "../../support/EmbeddedStage.ts"
import { eventually } from "../../support/servers/eventually.ts"
import * as Program from "../../support/servers/Program.ts"
import { takenPort } from "../../support/servers/takenPort.ts"

const query = <A extends object>(
  server: Pick<EmbeddedPostgres.EmbeddedPostgres["Service"], "url">,
  statement: string
) => PgClient.PgClient.use((sql) => sql.unsafe<A>(statement)).pipe(Effect.provide(PgClient.layer({ url: server.url })))

const processId = (dataDirectory: string) =>
  Effect.promise(async () =>
    Number((await readFile(join(dataDirectory, "data/postmaster.pid"), "utf8")).split("\n")[0])
  )

const exists = (path: string) =>
  Effect.promise(() =>
    stat(path).then(
      () => true,
      () => false
    )
  )

// its process id file goes first, the process itself a moment later
const untilStopped = (pid: number) =>
  eventually(
    Effect.map(exists(`/proc/${pid}`), (running) => assert.isFalse(running)),
    { deadline: "20 seconds" }
  )

const hold = (runtime: Program.Runtime, dataDirectory: string) =>
  Effect.gen(function* () {
    const main = join(import.meta.dirname, "holdPostgres.ts")
    const program = yield* Program.start({ runtime, main, args: [dataDirectory] })
    const port = Number((yield* program.waitForLine(/^port/)).split(" ")[1])
    return { ...program, port }
  })

describe.concurrent("EmbeddedPostgres", () => {
  it.live("is a durable PostgreSQL 18 with a database for payments, in UTF-8", () =>
    Effect.gen(function* () {
      const server = yield* EmbeddedPostgres.start({ dataDirectory: yield* dataFolder })
      const settings = ["server_version_num", "fsync", "synchronous_commit", "server_encoding", "listen_addresses"]
      const asked = settings.map((name) => `current_setting('${name}') AS ${name}`).join(", ")
      const [row] = yield* query<Record<string, string>>(server, `SELECT current_database() AS db, ${asked}`)
      const { server_version_num, ...rest } = row ?? {}
      assert.match(server_version_num ?? "", /^18/)
      assert.deepStrictEqual(rest, {
        db: "payments_db",
        fsync: "on",
        synchronous_commit: "on",
        server_encoding: "UTF8",
        listen_addresses: "127.0.0.1"
      })
    })
  )

  it.live("lets in only who can read the password file, and nobody but the owner can", () =>
    Effect.gen(function* () {
      const server = yield* EmbeddedPostgres.start({ dataDirectory: yield* dataFolder })
      const { mode } = yield* Effect.promise(() => stat(server.passwordFile))
      assert.strictEqual(mode & 0o777, 0o600)
      assert.strictEqual(
        yield* Effect.promise(() => readFile(server.passwordFile, "utf8")),
        Redacted.value(server.password)
      )
      const wrong = Redacted.make(Redacted.value(server.url).replace(/:[^:@]*@/, ":wrong@"))
      const refused = yield* Effect.flip(query({ url: wrong }, "SELECT 1"))
      assert.strictEqual(refused.reason._tag, "AuthenticationError")
    })
  )

  it.live("keeps its data and its port from one run to the next", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* dataFolder
      const port = yield* keepPort(dataDirectory)
      const run = (statement: string) =>
        Effect.scoped(
          Effect.gen(function* () {
            const server = yield* EmbeddedPostgres.start({ dataDirectory })
            return { port: server.port, rows: yield* query(server, statement) }
          })
        )
      const first = yield* run("CREATE TABLE kept AS SELECT 42 AS answer")
      const second = yield* run("SELECT answer FROM kept")
      assert.strictEqual(first.port, port)
      assert.deepStrictEqual(second, { port, rows: [{ answer: 42 }] })
    })
  )

  it.live("steps over a port that is taken", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* dataFolder
      const port = yield* takenPort
      yield* rememberPort(dataDirectory, port)
      const server = yield* EmbeddedPostgres.start({ dataDirectory })
      assert.isAbove(server.port, port)
      assert.deepStrictEqual(yield* query(server, "SELECT 1 AS one"), [{ one: 1 }])
    })
  )

  it.live("stops with the scope, completely", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* dataFolder
      const pid = yield* Effect.scoped(
        Effect.andThen(EmbeddedPostgres.start({ dataDirectory }), processId(dataDirectory))
      )
      assert.isFalse(yield* exists(join(dataDirectory, "data/postmaster.pid")))
      yield* untilStopped(pid)
    })
  )

  for (const runtime of ["bun", "node"] as const) {
    it.live(`is shared with a process on ${runtime}, and stopped by the last to leave`, () =>
      Effect.gen(function* () {
        const dataDirectory = yield* dataFolder
        const other = yield* hold(runtime, dataDirectory)
        const pid = yield* processId(dataDirectory)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const server = yield* EmbeddedPostgres.start({ dataDirectory })
            assert.strictEqual(server.port, other.port)
            yield* other.kill("SIGTERM")
            yield* other.waitForLine(/^stopped/)
            assert.deepStrictEqual(yield* query(server, "SELECT 1 AS one"), [{ one: 1 }])
          })
        )
        yield* untilStopped(pid)
      })
    )

    it.live(`does not outlive a process on ${runtime} that is killed alone, and outlives one that is not`, () =>
      Effect.gen(function* () {
        const dataDirectory = yield* dataFolder
        const first = yield* hold(runtime, dataDirectory)
        const second = yield* hold(runtime, dataDirectory)
        const pid = yield* processId(dataDirectory)
        yield* first.kill("SIGKILL")
        yield* first.exit
        const third = yield* hold(runtime, dataDirectory)
        assert.strictEqual(yield* processId(dataDirectory), pid)
        yield* second.kill("SIGKILL")
        yield* third.kill("SIGKILL")
        yield* untilStopped(pid)
      })
    )
  }

  it.live("recovers what was committed when the server itself was killed", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* dataFolder
      yield* Effect.scoped(
        Effect.gen(function* () {
          const server = yield* EmbeddedPostgres.start({ dataDirectory })
          yield* query(server, "CREATE TABLE kept AS SELECT 42 AS answer")
          process.kill(yield* processId(dataDirectory), "SIGKILL")
        })
      )
      const server = yield* EmbeddedPostgres.start({ dataDirectory })
      assert.deepStrictEqual(yield* query(server, "SELECT answer FROM kept"), [{ answer: 42 }])
    })
  )

  it.live("takes the number of a process that is gone, and now another's, for what it is", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* dataFolder
      yield* Effect.scoped(EmbeddedPostgres.start({ dataDirectory }))
      const stale = `${process.pid}\n${dataDirectory}/data\n0\n54329\n\n127.0.0.1\n\nready\n`
      yield* Effect.promise(() => writeFile(join(dataDirectory, "data/postmaster.pid"), stale))
      const server = yield* EmbeddedPostgres.start({ dataDirectory })
      assert.deepStrictEqual(yield* query(server, "SELECT 1 AS one"), [{ one: 1 }])
    })
  )

  it.live("says why it does not start, without the password", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* dataFolder
      const password = yield* Effect.scoped(
        Effect.map(EmbeddedPostgres.start({ dataDirectory }), (server) => Redacted.value(server.password))
      )
      yield* Effect.promise(() =>
        writeFile(join(dataDirectory, "data/postgresql.auto.conf"), "shared_buffers = 'none'\n")
      )
      const error = yield* Effect.flip(EmbeddedPostgres.start({ dataDirectory }))
      assert.strictEqual(error._tag, "EmbeddedPostgresError")
      assert.match(error.message, /does not start: .*shared_buffers/)
      assert.notInclude(error.message, password)
    })
  )

  it.live("is started once when many ask at the same time", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* dataFolder
      const servers = yield* Effect.all(
        Array.from({ length: 5 }, () => EmbeddedPostgres.start({ dataDirectory })),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(new Set(servers.map((server) => server.port)).size, 1)
    })
  )
})
