import { randomUUID } from "node:crypto"
import { symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { query } from "../support/Databases.ts"
import * as Queues from "../support/Queues.ts"
import * as Stage from "../support/Stage.ts"
import { spawn } from "../support/servers/Child.ts"
import * as Postgres from "../support/servers/Postgres.ts"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"
import * as TableLock from "../support/TableLock.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const secret = "s3cr3t-never-shown"

const withPassword = (address: string, user: string) => {
  const url = new URL(address)
  url.username = user
  url.password = secret
  return url.href
}

const run = (runtime: Program.Runtime, args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const program = yield* Program.start({ runtime, args, env })
    const code = yield* program.exit
    return { code, output: [...program.stdout, ...program.stderr].join("\n") }
  }).pipe(Effect.scoped)

const folderWith = (files: Readonly<Record<string, string>>) =>
  Effect.tap(temporaryFolder("settings"), (folder) =>
    Effect.promise(async () => {
      for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
    })
  )

describe.concurrent("the command line", () => {
  it.live("refuses a list of none, or of fewer", () =>
    Effect.gen(function* () {
      for (const name of ["sagas", "outbox"]) {
        const { code, output } = yield* run("bun", [name, "list", "--limit=-1"])
        assert.strictEqual(code, 2)
        assert.match(output, /--limit: "-1".*a whole number from 1/)
      }
    })
  )

  it.live("starts no database for a command that was told there is none, and asks no broker's settings of it", () =>
    Effect.gen(function* () {
      const id = randomUUID()
      for (const [name, ...args] of [
        ["outbox", "list"],
        ["outbox", "retry", "--all"],
        ["sagas", "show", id],
        ["erase", `--payment=${id}`],
        ["jobs"]
      ] as const) {
        const { code, output } = yield* run("bun", [name, ...args], { DATABASE: "none", RABBITMQ_URL: "nowhere" })
        assert.strictEqual(code, 2, output)
        assert.match(output, /\(1 to mend\)/)
        assert.include(output, `DATABASE: got "none"; takes postgres or embedded for \`${name}\``)
      }
    })
  )

  for (const runtime of Stage.runtimes) {
    it.live(`names every wrong setting at once, ends with 2, and starts nothing (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const { code, stderr, stdout } = yield* Stage.run(stage, {
          runtime,
          env: {
            QUEUE_NAME: `${stage.queue}-never`,
            RABBITMQ_URL: `http://user:${secret}@broker`,
            MAX_MESSAGES: "0",
            BATCH_SIZE: "many",
            LOG_LEVEL: "loud",
            POSTGRES_PASS: secret,
            DATABASE_URL: "",
            DATABASE_URL_FILE: "/nowhere/secret",
            HEALTH_PORT: "70000"
          }
        })
        assert.strictEqual(code, 2)
        for (const [name, got] of [
          ["RABBITMQ_URL", "a secret value"],
          ["MAX_MESSAGES", '"0"'],
          ["BATCH_SIZE", '"many"'],
          ["LOG_LEVEL", '"loud"'],
          ["DATABASE_URL_FILE", '"/nowhere/secret" (cannot be read: ENOENT)'],
          ["HEALTH_PORT", '"70000"']
        ]) {
          assert.include(stderr, `${name}: got ${got}; takes `)
        }
        assert.notInclude(stdout + stderr, secret)
        assert.notInclude(stdout, "starting")
        assert.isFalse(yield* Queues.exists(stage.brokerUrl, `${stage.queue}-never`))
      })
    )

    it.live(`lists the modes where none or an unknown one is given, and takes MODE, below the flag (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        for (const given of [
          { args: [], env: {} },
          { args: ["--mode=walk"], env: {} },
          { args: [], env: { MODE: "walk" } }
        ]) {
          const { code, output } = yield* run(runtime, given.args, given.env)
          assert.strictEqual(code, 2)
          for (const mode of ["worker", "migrate", "publish", "demo"]) assert.include(output, `--mode=${mode}`)
        }
        const byEnvironment = yield* Stage.run(stage, { runtime, args: [], env: { MODE: "migrate" } })
        assert.strictEqual(byEnvironment.code, 0)
        assert.match(byEnvironment.stdout, /^migrated: 0001_payments\b/)
        const byFlag = yield* Stage.run(stage, { runtime, args: ["--mode=migrate"], env: { MODE: "walk" } })
        assert.deepInclude(byFlag, { code: 0, stdout: "nothing to migrate: the tables are up to date" })
      })
    )

    it.live(`has --help, --version and help for a command or a mode (${runtime})`, () =>
      Effect.gen(function* () {
        const help = yield* run(runtime, ["--help"], { RABBITMQ_PASS: secret })
        assert.strictEqual(help.code, 0)
        assert.include(help.output, "--mode=worker")
        assert.notInclude(help.output, secret)
        const version = yield* run(runtime, ["--version"])
        assert.strictEqual(version.code, 0)
        assert.match(version.output, /\d+\.\d+\.\d+/)
        const asked = yield* run(runtime, ["help", "outbox", "list"])
        assert.deepStrictEqual(asked, yield* run(runtime, ["outbox", "list", "--help"]))
        assert.include(asked.output, "paystream outbox list [flags]")
        const mode = yield* run(runtime, ["help", "scheduler"])
        assert.strictEqual(mode.code, 0)
        assert.match(mode.output, /^--mode=scheduler: run jobs on their schedules\.\n\n.*flags: --job, --jobs\./)
        assert.strictEqual((yield* run(runtime, ["--mode=publish", "--count=some"])).code, 2)
      })
    )

    it.live(`says what is wrong, and what may have been meant, on the standard error alone (${runtime})`, () =>
      Effect.gen(function* () {
        for (const [args, said] of [
          [["--mode=worker", "--colour=red"], /^Unrecognized flag: --colour/],
          [["--mode=worker", "--rate=5"], /^--mode=worker takes no --rate: --rate goes with --mode=simulate$/],
          [["--rate=5", "outbox", "list"], /^--rate stands before `outbox`/],
          [["--mode=wroker"], /^unknown mode "wroker"; did you mean --mode=worker\?$/m],
          [["outbx"], /Did you mean this\?\n +outbox\n\n`paystream --help` tells/],
          [["worker"], /worker is a mode: --mode=worker/],
          [["outbox", "list", "--jsn"], /Did you mean this\?\n +--json\n\n`paystream outbox list --help` tells/],
          [["outbox"], /SUBCOMMANDS/],
          [["outbx", "--help"], /^there is no command "outbx"; did you mean outbox\?$/],
          [["help", "outbox", "lst"], /^there is no command "outbox lst"; did you mean list\?$/],
          [["sagas", "show"], /^Missing required argument: id/]
        ] as const) {
          const program = yield* Program.start({ runtime, args })
          assert.strictEqual(yield* program.exit, 2, args.join(" "))
          assert.deepStrictEqual(program.stdout, [], args.join(" "))
          assert.match(program.stderr.join("\n"), said)
        }
      })
    )

    it.live(`reads .env and no other file; the environment wins over it (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const cwd = yield* folderWith({
          ".env": `RABBITMQ_URL="${stage.brokerUrl}" # the broker\nexport QUEUE_NAME='${stage.queue}'\nMAX_MESSAGES=wrong\n`,
          ".env.local": "QUEUE_NAME=from-env-local\nBATCH_SIZE=wrong\n",
          ".env.development": "BATCH_SIZE=wrong\n"
        })
        yield* Stage.publish(stage, Stage.payments(3))
        const database = new URL(stage.databaseUrl)
        // a server that trusts everybody takes any password
        database.password ||= secret
        const env = { DATABASE_URL: database.href, HEALTH_PORT: "0", LOG_LEVEL: "trace", MAX_MESSAGES: "3" }
        const worker = yield* Program.start({ runtime, cwd, env, args: ["--mode=worker"] })
        assert.strictEqual(yield* worker.exit, 0)
        assert.notInclude([...worker.stdout, ...worker.stderr].join("\n"), database.password)
        assert.strictEqual((yield* Stage.rows(stage)).length, 3)
      })
    )

    it.live(`ends with 3 and says what is refused or missing at a service (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const database = new URL(stage.databaseUrl)
        database.pathname = "/no_such_database"
        const cases: ReadonlyArray<readonly [Readonly<Record<string, string>>, RegExp]> = [
          [
            { RABBITMQ_URL: withPassword(stage.brokerUrl, "paystream") },
            /RabbitMQ at .*ACCESS_REFUSED|RabbitMQ at .*403/
          ],
          [{ RABBITMQ_URL: `${stage.brokerUrl}/no-such-vhost` }, /RabbitMQ at .*no-such-vhost.*(530|NOT_ALLOWED)/],
          [{ DATABASE_URL: database.href }, /PostgreSQL at .*the database does not exist \(3D000\)/],
          [
            { DATABASE_URL: withPassword(stage.databaseUrl, "nobody_known") },
            /PostgreSQL at .*the credentials are refused/
          ]
        ]
        for (const [env, message] of cases) {
          const { code, stderr, stdout } = yield* Stage.run(stage, { runtime, env: { ...env, LOG_LEVEL: "trace" } })
          assert.strictEqual(code, 3, stderr)
          assert.match(stderr, message)
          assert.notInclude(stdout + stderr, secret)
        }
      })
    )
  }

  it.live("stops a command at the first signal, whatever it waits for", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      assert.strictEqual((yield* Stage.run(stage, { runtime: "node", args: ["--mode=migrate"] })).code, 0)
      const waiting = [
        ["payment_intents", ["sagas", "list"]],
        ["outbox_events", ["outbox", "list", "--json"]],
        ["payments", ["erase", "--payer=Ana"]],
        ["job_runs", ["jobs", "history"]]
      ] as const
      for (const [index, [table, args]] of waiting.entries()) {
        const lock = yield* TableLock.hold(stage.databaseUrl, table)
        const program = yield* Stage.start(stage, { runtime: index % 2 === 0 ? "node" : "bun", args })
        yield* lock.isWaitedFor
        yield* program.kill("SIGINT")
        assert.strictEqual(yield* program.exit, 4, args.join(" "))
        assert.deepStrictEqual(program.stdout, [])
        assert.match(program.stderr.join("\n"), /^stopped before the end/m)
        yield* lock.release
      }
    })
  )

  it.live("ends with 3 at a wrong password of the database, which is in no line", () =>
    Effect.gen(function* () {
      const postgres = yield* Postgres.startOwn
      const stage = yield* Stage.make
      const administrator = Redacted.make(postgres.url())
      const [found] = yield* query<{ hba_file: string }>(administrator, "SHOW hba_file")
      yield* query(administrator, "CREATE ROLE payer LOGIN PASSWORD 'right'")
      yield* query(administrator, `COPY (VALUES ('host all all all scram-sha-256')) TO '${found?.hba_file}'`)
      yield* query(administrator, "SELECT pg_reload_conf()")
      const env = { DATABASE_URL: withPassword(postgres.url(), "payer"), LOG_LEVEL: "trace" }
      for (const runtime of Stage.runtimes) {
        const { code, stderr, stdout } = yield* Stage.run(stage, { runtime, env })
        assert.strictEqual(code, 3)
        assert.match(stderr, /PostgreSQL at .*the credentials are refused \(28P01\).*POSTGRES_PASS/)
        assert.notInclude(stdout + stderr, secret)
      }
    })
  )

  it.live("reads .env and no other file as `bun run main`, though Bun knows more of them", () =>
    Effect.gen(function* () {
      const cwd = yield* folderWith({
        ".env": "LOG_LEVEL=from-env\n",
        ".env.local": "BATCH_SIZE=from-env-local\n",
        ".env.development": "MAX_MESSAGES=from-env-development\n"
      })
      yield* Effect.promise(async () => {
        for (const name of ["package.json", "scripts", "src", "node_modules"]) {
          await symlink(join(root, name), join(cwd, name))
        }
      })
      const PATH = `${join(root, "node_modules/.bin")}:${process.env.PATH}`
      const main = yield* spawn("bun", ["run", "main", "--mode=worker"], { cwd, env: { PATH, HOME: process.env.HOME } })
      assert.strictEqual(yield* main.exit, 2)
      const output = main.stderr.join("\n")
      assert.include(output, "(1 to mend)")
      assert.include(output, 'LOG_LEVEL: got "from-env"')
    })
  )
})
