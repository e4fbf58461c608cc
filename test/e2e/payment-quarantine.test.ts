/** A payment that its process dies of, again and again: no process dies of it for ever. */
import { randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as Api from "../support/Api.ts"
import * as Ground from "../support/OutboxGround.ts"
import { OwnServers } from "../support/OwnServers.ts"
import * as Payments from "../support/Payments.ts"
import { askWithoutCommand, stores } from "../support/PaymentsAsked.ts"
import { eventually } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"
import * as Program from "../support/servers/Program.ts"

const maxCrashes = 2

/** An API that processes payments itself. */
const synchronous = { ENABLE_ASYNC_COMMANDS: "false", API_BROKERS: "none", API_HOST: "127.0.0.1" }

/** Who sweeps payments up: the processes of commands, and an API that processes payments itself. */
const sweepers = [
  { runtime: "bun", mode: "commands", env: {} },
  { runtime: "node", mode: "commands", env: {} },
  { runtime: "node", mode: "api", env: synchronous }
] as const

const make = Effect.fnUntraced(function* (runtime: Program.Runtime) {
  const { postgres, rabbitMq } = yield* OwnServers
  const name = `quarantine-${randomUUID()}`
  const databaseUrl = yield* postgres.createDatabase(name)
  const ground: Ground.Ground = { brokerUrl: rabbitMq.url, databaseUrl, exchange: name }
  yield* Ground.migrate(ground)
  const start = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
    Program.start({
      runtime,
      args,
      env: {
        RABBITMQ_URL: ground.brokerUrl,
        RABBITMQ_EXCHANGE: ground.exchange,
        DATABASE_URL: databaseUrl,
        PAYMENT_GATEWAY: "sandbox",
        HEALTH_PORT: "0",
        MAX_CRASHES: String(maxCrashes),
        PAYMENT_LEASE_SECONDS: "1",
        PAYMENT_SWEEP_SECONDS: "0.2",
        PAYMENT_OVERDUE_SECONDS: "0.5",
        PAYMENT_STUCK_AFTER: "1 second",
        ...env
      }
    })
  const sagas = (...args: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const program = yield* start(["sagas", ...args])
      return { code: yield* program.exit, stdout: program.stdout.join("\n") }
    }).pipe(Effect.scoped)
  return { ground, sagas, start }
})

const statusOf = (ground: Ground.Ground, id: string) =>
  Effect.map(Ground.sql(ground, `SELECT status FROM payment_intents WHERE id = '${id}'`), ([row]) => row?.status)

const patience = { deadline: "60 seconds", every: "50 millis" } as const

/** How often it was begun and not ended. */
const begun = (ground: Ground.Ground, id: string) =>
  Effect.map(Ground.sql(ground, `SELECT begun FROM crash_marks WHERE identity = '${id}'`), ([row]) => row?.begun ?? 0)

layer(OwnServers.layer, { excludeTestServices: true, timeout: "120 seconds" })("a payment that kills", (it) => {
  for (const { env, mode, runtime } of sweepers) {
    it.effect(`is left alone by --mode=${mode} in the end, and goes on when an operator says so (${runtime})`, () =>
      Effect.gen(function* () {
        const { ground, sagas, start } = yield* make(runtime)
        const port = `${yield* freePort}`
        const sweeper = (more: Readonly<Record<string, string>> = {}) =>
          start([`--mode=${mode}`], { ...env, PORT: port, ...more })
        const asked = Effect.provide(askWithoutCommand("pm_card_visa"), stores(Redacted.make(ground.databaseUrl)))
        const id = yield* asked
        // Slow enough that whoever has begun it dies while it is under way: first beside others, as it may be, then alone.
        for (let deaths = 1; deaths <= maxCrashes + 1; deaths++) {
          const dying = yield* sweeper({ SANDBOX_DELAY_MILLIS: "60000" })
          yield* eventually(
            Effect.map(Effect.all([begun(ground, id), statusOf(ground, id)]), (seen) =>
              assert.deepStrictEqual(seen, [deaths, "processing"])
            ),
            patience
          )
          yield* dying.kill("SIGKILL")
          yield* dying.exit
        }
        const living = yield* sweeper()
        yield* living.waitForLine(/a payment is in quarantine, its process died 2 times/, { deadline: "60 seconds" })
        yield* eventually(
          Effect.map(begun(ground, id), (count) => assert.strictEqual(count, 0)),
          patience
        )

        const other = yield* asked
        yield* eventually(
          Effect.map(statusOf(ground, other), (status) => assert.strictEqual(status, "succeeded")),
          patience
        )
        assert.strictEqual(yield* statusOf(ground, id), "processing")
        const listed = yield* eventually(
          Effect.tap(sagas("list", "--stuck", "--json"), ({ stdout }) =>
            Effect.sync(() => assert.lengthOf(JSON.parse(stdout), 1))
          ),
          patience
        )
        const [stuck] = JSON.parse(listed.stdout)
        assert.deepInclude(stuck, {
          id,
          reason: "in quarantine: its process died 2 times",
          note: `\`sagas resume ${id}\``
        })
        assert.include(
          (yield* sagas("show", id)).stdout,
          "quarantined: its process died 2 times; waits for an operator"
        )

        assert.strictEqual((yield* sagas("resume", id)).code, 0)
        yield* eventually(
          Effect.map(statusOf(ground, id), (status) => assert.strictEqual(status, "succeeded")),
          patience
        )
        assert.strictEqual((yield* sagas("resume", id)).code, 1)
        const charges = yield* Ground.sql(ground, "SELECT attempts FROM sandbox_charges WHERE status = 'Charged'")
        assert.deepStrictEqual(charges, [{ attempts: 1 }, { attempts: 1 }])
        yield* living.kill("SIGTERM")
        assert.strictEqual(yield* living.exit, 0, living.stderr.join("\n"))
      }).pipe(Effect.scoped)
    )
  }

  for (const runtime of ["bun", "node"] as const) {
    it.effect(`is run for no client that asks for it again and again in the end (${runtime})`, () =>
      Effect.gen(function* () {
        const { ground, sagas, start } = yield* make(runtime)
        const port = `${yield* freePort}`
        const url = `http://127.0.0.1:${port}`
        // Nobody sweeps it up: the client's requests alone are what processes die of.
        const unswept = { PAYMENT_OVERDUE_SECONDS: "3600", API_PAYMENT_TIMEOUT_SECONDS: "60" }
        const api = (more: Readonly<Record<string, string>> = {}) =>
          Effect.tap(start(["--mode=api"], { ...synchronous, ...unswept, PORT: port, ...more }), () =>
            eventually(
              Effect.map(
                Effect.tryPromise(() => fetch(`${url}/readyz`)),
                ({ status }) => assert.strictEqual(status, 200)
              ),
              patience
            )
          )
        // As it is once the dead process's claims have lapsed, on the key and on the payment.
        const forgotten = Ground.sql(
          ground,
          "WITH keys AS (DELETE FROM idempotency_keys) UPDATE payment_intents SET lease_until = NULL"
        )
        const post = Api.post(`${url}/payments`, Payments.body(), { "idempotency-key": "one" })
        const claimed = Effect.map(
          Ground.sql(ground, "SELECT id, status FROM payment_intents WHERE lease_until > now()"),
          ([row]) => {
            assert.strictEqual(row?.status, "processing")
            return String(row?.id)
          }
        )
        let id = ""
        // The first request leaves no mark, and the second is beside others, as it may be; then each is alone.
        for (let deaths = 1; deaths <= maxCrashes + 2; deaths++) {
          const dying = yield* api({ SANDBOX_DELAY_MILLIS: "60000" })
          yield* Effect.forkScoped(Effect.exit(post))
          id = yield* eventually(claimed, patience)
          assert.strictEqual(yield* begun(ground, id), deaths - 1)
          yield* dying.kill("SIGKILL")
          yield* dying.exit
          yield* forgotten
        }
        const living = yield* api()
        for (const _ of [1, 2]) {
          const refused = yield* post
          assert.strictEqual(refused.status, 503)
          const problem = JSON.parse(refused.text)
          assert.strictEqual(problem.type, "urn:paystream:problem:payment-in-quarantine")
          assert.strictEqual(
            problem.detail,
            `its process died 2 times; the payment ${id} is kept, and waits for an operator: \`paystream sagas resume ${id}\``
          )
        }
        const shown = JSON.parse((yield* Api.ask(`${url}/payments/${id}`)).text)
        assert.deepInclude(shown, { status: "processing", quarantine: "its process died 2 times" })

        assert.strictEqual((yield* sagas("resume", id)).code, 0)
        const answer = yield* post
        assert.deepStrictEqual([answer.status, Payments.told(answer).status], [201, "succeeded"], answer.text)
        const charges = yield* Ground.sql(ground, "SELECT attempts FROM sandbox_charges WHERE status = 'Charged'")
        assert.deepStrictEqual(charges, [{ attempts: 1 }])
        yield* living.kill("SIGTERM")
        assert.strictEqual(yield* living.exit, 0, living.stderr.join("\n"))
      }).pipe(Effect.scoped)
    )
  }
})
