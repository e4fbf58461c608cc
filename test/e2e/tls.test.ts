/** RabbitMQ and PostgreSQL over TLS: who is trusted, and what is said of whom is not. */
import { assert, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { query } from "../support/Databases.ts"
import * as Queues from "../support/Queues.ts"
import { SecureServers, secret, stage } from "../support/SecureServers.ts"
import { payments, runtimes } from "../support/Stage.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as Program from "../support/servers/Program.ts"

type Environment = Readonly<Record<string, string>>

const start = (runtime: Program.Runtime, mode: string, env: Environment) =>
  Program.start({ runtime, args: [`--mode=${mode}`], env: { HEALTH_PORT: "0", ...env } })

const run = (runtime: Program.Runtime, mode: string, env: Environment) =>
  Effect.gen(function* () {
    const program = yield* start(runtime, mode, env)
    return { code: yield* program.exit, written: [...program.stdout, ...program.stderr].join("\n") }
  }).pipe(Effect.scoped)

/** Of the connections to a database, those of the product: whether they are encrypted. */
const encryption = (url: string) =>
  query<{ ssl: boolean }>(
    Redacted.make(url),
    `SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
     WHERE datname = current_database() AND application_name = 'paystream'`
  )

const countRows = (url: string) =>
  Effect.map(
    query<{ count: number }>(Redacted.make(url), "SELECT count(*)::int AS count FROM payments"),
    ([row]) => row?.count
  )

/** The broker's own encrypted connections. */
const encryptedAtBroker = Effect.gen(function* () {
  const { rabbitMq } = yield* SecureServers
  const listed = yield* rabbitMq.ctl("-q", "list_connections", "ssl")
  return listed.split("\n").filter((line) => line === "true").length
})

layer(SecureServers.layer, { excludeTestServices: true, timeout: "90 seconds" })("Over TLS", (it) => {
  for (const runtime of runtimes) {
    it.effect(`a worker stores what it takes, with the authorities that its settings name (${runtime})`, () =>
      Effect.gen(function* () {
        const { certificates } = yield* SecureServers
        const place = yield* stage
        const worker = yield* start(runtime, "worker", {
          QUEUE_NAME: place.queue,
          RABBITMQ_URL: place.amqps("localhost"),
          RABBITMQ_SSL_CA_FILE: certificates.authorityFile,
          RABBITMQ_SSL_CERT_FILE: certificates.clientCertificateFile,
          RABBITMQ_SSL_KEY_FILE: certificates.clientKeyFile,
          DATABASE_URL: place.postgres("localhost", `sslmode=verify-full&sslrootcert=${certificates.authorityFile}`)
        })
        yield* Queues.publish(place.brokerUrl, place.queue, payments(100))
        yield* worker.waitForLine(/connected to PostgreSQL/)
        yield* eventually(
          Effect.map(countRows(place.databaseUrl), (count) => assert.strictEqual(count, 100)),
          { deadline: "30 seconds", every: "100 millis" }
        )
        const found = yield* encryption(place.databaseUrl)
        assert.isNotEmpty(found)
        assert.isTrue(found.every(({ ssl }) => ssl))
        assert.isAtLeast(yield* encryptedAtBroker, 1)
        yield* worker.kill("SIGTERM")
        assert.strictEqual(yield* worker.exit, 0)
      }).pipe(Effect.scoped)
    )

    it.effect(`an authority for everything is named by NODE_EXTRA_CA_CERTS (${runtime})`, () =>
      Effect.gen(function* () {
        const { certificates } = yield* SecureServers
        const place = yield* stage
        yield* Queues.publish(place.brokerUrl, place.queue, payments(10))
        const { code, written } = yield* run(runtime, "worker", {
          NODE_EXTRA_CA_CERTS: certificates.authorityFile,
          QUEUE_NAME: place.queue,
          MAX_MESSAGES: "10",
          RABBITMQ_URL: place.amqps("localhost"),
          DATABASE_URL: place.postgres("localhost", "sslmode=verify-full")
        })
        assert.strictEqual(code, 0, written)
        assert.strictEqual(yield* countRows(place.databaseUrl), 10)
      })
    )

    it.effect(`every sslmode is what libpq means by it (${runtime})`, () =>
      Effect.gen(function* () {
        const { certificates, withoutTls } = yield* SecureServers
        const place = yield* stage
        const trusted = `sslrootcert=${certificates.authorityFile}`
        const plain = `postgres://postgres:${secret}@127.0.0.1:${withoutTls.port}/postgres`
        const welcome = [
          place.postgres("127.0.0.1", "sslmode=disable"),
          place.postgres("127.0.0.1", "sslmode=require"),
          place.postgres("127.0.0.1", `sslmode=verify-ca&${trusted}`),
          place.postgres("localhost", `sslmode=verify-full&${trusted}`),
          `${plain}?sslmode=prefer`
        ]
        const answers = yield* Effect.forEach(welcome, (url) => run(runtime, "migrate", { DATABASE_URL: url }), {
          concurrency: 2
        })
        for (const { code, written } of answers) assert.strictEqual(code, 0, written)
      })
    )

    it.effect(`who cannot be trusted is refused with 3, and why (${runtime})`, () =>
      Effect.gen(function* () {
        const { certificates, rabbitMq, strange, withoutTls } = yield* SecureServers
        const place = yield* stage
        const trusted = `sslrootcert=${certificates.authorityFile}`
        const stranger = `sslrootcert=${strange.authorityFile}`
        const nobody = /is by nobody who is trusted here \(\w+\); check/
        const elsewhere = /is for another host \(ERR_TLS_CERT_ALTNAME_INVALID\); check/
        const plain = /it does not speak TLS.*; check/
        const database = (url: string, why: RegExp) => ["migrate", { DATABASE_URL: url }, why] as const
        const broker = (host: string, port: number, why: RegExp, extra: Environment) => {
          const RABBITMQ_URL = place.amqps(host, port, "paystream", secret)
          return ["worker", { DATABASE_URL: place.databaseUrl, RABBITMQ_URL, ...extra }, why] as const
        }
        const trust = { RABBITMQ_SSL_CA_FILE: certificates.authorityFile }
        const claim = {
          RABBITMQ_SSL_CERT_FILE: strange.clientCertificateFile,
          RABBITMQ_SSL_KEY_FILE: strange.clientKeyFile
        }
        const refused = [
          database(place.postgres("localhost", "sslmode=verify-full"), nobody),
          database(place.postgres("localhost", `sslmode=verify-full&${stranger}`), nobody),
          database(place.postgres("localhost", `sslmode=verify-ca&${stranger}`), nobody),
          database(place.postgres("localhost", "sslmode=prefer"), nobody),
          database(place.postgres("127.0.0.1", `sslmode=verify-full&${trusted}`), elsewhere),
          database(place.postgres("localhost", "sslmode=require", withoutTls.port), plain),
          broker("localhost", rabbitMq.tlsPort, nobody, {}),
          broker("127.0.0.1", rabbitMq.tlsPort, elsewhere, trust),
          broker("localhost", rabbitMq.port, plain, trust),
          broker("localhost", rabbitMq.tlsPort, /it wants a certificate of ours, or another one/, {
            ...trust,
            ...claim
          })
        ]
        const answers = yield* Effect.forEach(
          refused,
          ([mode, env, why]) => Effect.map(run(runtime, mode, env), (answer) => ({ ...answer, why })),
          { concurrency: 2 }
        )
        for (const { code, why, written } of answers) {
          assert.match(written, why)
          assert.strictEqual(code, 3, written)
          assert.notInclude(written, secret)
        }
      })
    )
  }
})
