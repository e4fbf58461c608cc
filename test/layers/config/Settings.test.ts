import { readFileSync } from "node:fs"
import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Redacted, Result } from "effect"
import { parseDotEnv } from "../../../src/layers/config/Environment.ts"
import * as Setting from "../../../src/layers/config/Setting.ts"
import * as Settings from "../../../src/layers/config/Settings.ts"
import { dotEnvExample, markdownTable, withTable } from "../../../src/layers/config/SettingsPages.ts"
import { anyText, environmentOf, problemsOf, settingsOf } from "./support.ts"

const worker = Settings.all({
  process: Settings.processSettings,
  rabbitMq: Settings.onlyWhere(Settings.broker, "rabbitmq", Settings.rabbitMqSettings),
  postgres: Settings.onlyWhere(Settings.database, "postgres", Settings.postgresSettings),
  worker: Settings.workerSettings,
  log: Settings.logSettings,
  health: Settings.healthSettings
})

const rabbitMqSecrets = ["RABBITMQ_PASS", "RABBITMQ_URL", "RABBITMQ_SSL_CA", "RABBITMQ_SSL_CERT", "RABBITMQ_SSL_KEY"]
const secrets = [...rabbitMqSecrets, "POSTGRES_PASS", "DATABASE_URL"]
const stripeSecrets = ["STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET"]
const kafkaSecrets = ["KAFKA_SASL_PASSWORD", "KAFKA_SSL_CA", "KAFKA_SSL_CERT", "KAFKA_SSL_KEY"]

describe("load", () => {
  it.effect("fails with every problem of every group at once", () =>
    Effect.gen(function* () {
      const environment = environmentOf({
        RABBITMQ_PORT: "10abc",
        POSTGRES_PORT: "70000",
        BATCH_SIZE: "1e3",
        LOG_LEVEL: "loud",
        DATABASE: "oracle",
        HEALTH_PORT: "-1",
        SHUTDOWN_TIMEOUT_SECONDS: "0"
      })
      const error = yield* Effect.flip(Settings.load(worker, environment))
      assert.strictEqual(error._tag, "SettingsError")
      assert.strictEqual(
        error.message,
        [
          "The configuration is wrong (6 to mend):",
          `  DATABASE: got "oracle"; takes postgres, embedded or none`,
          `  SHUTDOWN_TIMEOUT_SECONDS: got "0"; takes a number from 1 to 3600 (seconds)`,
          `  RABBITMQ_PORT: got "10abc"; takes a whole number from 1 to 65535`,
          `  BATCH_SIZE: got "1e3"; takes a whole number from 1 to 10000 (messages)`,
          `  LOG_LEVEL: got "loud"; takes trace, debug, info, warn, error, fatal or none`,
          `  HEALTH_PORT: got "-1"; takes a whole number from 0 to 65535`
        ].join("\n")
      )
    })
  )

  it("does not look at the settings of what is embedded", () => {
    const settings = settingsOf(worker, {
      BROKER: "embedded",
      DATABASE: "Embedded",
      RABBITMQ_PORT: "x",
      DATABASE_URL: "x"
    })
    assert.isUndefined(settings.rabbitMq)
    assert.isUndefined(settings.postgres)
    assert.strictEqual(settings.process.broker, "embedded")
  })

  it("follows the embedded broker to its database, where nobody names another one", () => {
    const databaseOf = (variables: Readonly<Record<string, string>>) => settingsOf(worker, variables).process.database
    assert.strictEqual(databaseOf({}), "postgres")
    assert.strictEqual(databaseOf({ BROKER: "kafka" }), "postgres")
    assert.strictEqual(databaseOf({ BROKER: "embedded" }), "embedded")
    assert.strictEqual(databaseOf({ BROKER: "embedded", DATABASE_URL: "postgres://h/d" }), "postgres")
    assert.strictEqual(databaseOf({ BROKER: "embedded", POSTGRES_HOST: "h" }), "postgres")
    for (const database of ["postgres", "none"] as const)
      assert.strictEqual(databaseOf({ BROKER: "embedded", DATABASE: database }), database)
  })

  it("has the defaults that it promises", () => {
    const { process, log, health } = settingsOf(worker, {})
    assert.deepStrictEqual(process, {
      mode: undefined,
      broker: "rabbitmq",
      database: "postgres",
      dataDirectory: ".paystream",
      migrateOnStart: true,
      shutdownTimeout: Duration.seconds(30),
      otlpEndpoint: undefined,
      serviceName: undefined,
      serviceNames: { api: undefined, consumers: undefined, scheduler: undefined }
    })
    assert.deepStrictEqual(log, { format: undefined, level: "Info" })
    assert.deepStrictEqual(health, { port: 8081, asked: false })
  })

  it("knows a health port that was asked for from one that is off", () => {
    assert.deepStrictEqual(settingsOf(Settings.healthSettings, { HEALTH_PORT: "8081" }), { port: 8081, asked: true })
    assert.deepStrictEqual(settingsOf(Settings.healthSettings, { HEALTH_PORT: "0" }), { port: undefined, asked: true })
    assert.deepStrictEqual(settingsOf(Settings.healthSettings, { HEALTH_PORT: "" }), { port: 8081, asked: false })
  })

  it("quotes a long value in part, and control characters not at all", () => {
    const [problem] = problemsOf(Settings.logSettings, { LOG_LEVEL: `\u001b[31m${"x".repeat(5000)}` })
    assert.isBelow(problem?.got.length ?? 0, 120)
    assert.notInclude(problem?.got, "\u001b")
  })
})

describe("secrets in files", () => {
  const passwordOf = (variables: Readonly<Record<string, string>>, files: Readonly<Record<string, string>>) => {
    const password = settingsOf(Settings.postgresSettings, variables, files).client.password
    return password && Redacted.value(password)
  }

  it("lose one line end, and nothing else", () => {
    const files = { "/a": "secret\n", "/b": " secret \r\n", "/c": "secret\n\n", "/d": "secret" }
    const read = Object.keys(files).map((path) => passwordOf({ POSTGRES_PASS_FILE: path }, files))
    assert.deepStrictEqual(read, ["secret", " secret ", "secret\n", "secret"])
  })

  it("hold whole addresses too", () => {
    const settings = settingsOf(
      Settings.rabbitMqSettings,
      { RABBITMQ_URL_FILE: "/url" },
      { "/url": "amqp://a:b@host/v\n" }
    )
    assert.strictEqual(settings.address, "host:5672/v")
  })

  for (const name of secrets) {
    const group = name.startsWith("RABBITMQ") ? Settings.rabbitMqSettings : Settings.postgresSettings

    it(`${name} and ${name}_FILE together are refused`, () => {
      const problems = problemsOf(group, { [name]: "hunter2", [`${name}_FILE`]: "/a" }, { "/a": "hunter3" })
      assert.deepStrictEqual(
        problems.map(({ name, got }) => ({ name, got })),
        [{ name, got: `a value, and ${name}_FILE too` }]
      )
    })

    it(`${name}_FILE is named with its path where it cannot be read or is empty`, () => {
      const files = { "/empty": "\n" }
      const got = ["/missing", "/empty"].flatMap((path) => problemsOf(group, { [`${name}_FILE`]: path }, files))
      assert.deepStrictEqual(
        got.map(({ name, got }) => [name, got]),
        [
          [`${name}_FILE`, `"/missing" (cannot be read: ENOENT)`],
          [`${name}_FILE`, `"/empty" (is empty)`]
        ]
      )
    })
  }
})

describe("describe", () => {
  it("shows what is set and what is the default, and no secret", () => {
    const environment = environmentOf({
      QUEUE_NAME: "orders",
      RABBITMQ_PASS: "hunter2",
      DATABASE_URL: "postgres://u:hunter2@h"
    })
    const lines = Setting.describe(worker, environment)
    const find = (name: string) => lines.find((line) => line.name === name)
    assert.deepStrictEqual(find("QUEUE_NAME"), { name: "QUEUE_NAME", value: "orders", default: "payments" })
    assert.deepStrictEqual(find("RABBITMQ_PASS"), { name: "RABBITMQ_PASS", value: "<redacted>", default: "<redacted>" })
    assert.deepStrictEqual(find("BATCH_SIZE"), { name: "BATCH_SIZE", value: undefined, default: "500" })
    assert.notInclude(JSON.stringify(lines), "hunter2")
    assert.deepStrictEqual(Settings.shown(worker, environment), {
      QUEUE_NAME: "orders",
      RABBITMQ_PASS: "<redacted>",
      DATABASE_URL: "<redacted>"
    })
  })
})

describe("secrets", () => {
  const shown = (variables: Readonly<Record<string, string>>) => {
    const environment = environmentOf(variables)
    const reading = worker.read(environment)
    const value = Result.isFailure(reading)
      ? new Settings.SettingsError({ problems: reading.failure })
      : reading.success
    const texts = [String(value), JSON.stringify(value), inspect(value, { depth: 9, showHidden: true })]
    return [...texts, JSON.stringify(Setting.describe(worker, environment))].join("\n")
  }

  it.prop(
    "show in no message, JSON or inspection",
    { text: anyText },
    ({ text }) => {
      // Marked, so that it cannot be a part of anything else by chance.
      const secret = `⟦${text}⟧`
      const encoded = encodeURIComponent(secret)
      const everything = [
        shown({ RABBITMQ_PASS: secret, POSTGRES_PASS: secret }),
        shown({ RABBITMQ_URL: `amqp://u:${encoded}@h/v`, DATABASE_URL: `postgres://u:${encoded}@h/d` }),
        shown({ RABBITMQ_URL: `amqp://u:${secret}@h/v`, DATABASE_URL: `postgres://u:${secret}@h/d` }),
        shown({ RABBITMQ_URL: secret, DATABASE_URL: secret, BATCH_SIZE: "0" })
      ].join("\n")
      for (const part of [secret, encoded, "⟦", "%E2%9F%A6"]) assert.notInclude(everything, part)
    },
    { arbitrary: { runs: 200, size: 30 } }
  )
})

describe("pages", () => {
  const settings = Settings.sections.flatMap(({ group }) => group.settings)

  it("no variable is there twice", () => {
    const names = settings.map(({ name }) => name)
    assert.deepStrictEqual([...new Set(names)], names)
  })

  it("every setting has a reason, and those that should be are secrets", () => {
    assert.deepStrictEqual(
      settings.filter(({ reason }) => reason === ""),
      []
    )
    assert.deepStrictEqual(
      settings
        .filter(({ secret }) => secret)
        .map(({ name }) => name)
        .sort(),
      [...secrets, ...kafkaSecrets, ...stripeSecrets, "REDIS_URL", "API_KEY", "API_KEYS"].sort()
    )
  })

  it.effect(".env.example with every line switched on changes nothing", () =>
    Effect.gen(function* () {
      const on = yield* parseDotEnv(dotEnvExample().replace(/^#(?=[A-Z_]+=)/gm, ""))
      assert.sameMembers(
        Object.keys(on),
        settings.map(({ name }) => name)
      )
      const { HEALTH_PORT: _, ...variables } = on
      const shape = (variables: Readonly<Record<string, string>>) => {
        const { process, ...rest } = settingsOf(worker, variables)
        return JSON.stringify({ ...rest, process: { ...process, serviceName: undefined, serviceNames: {} } })
      }
      assert.strictEqual(shape(variables), shape({}))
    })
  )

  it(".env.example is as it was written last", () => {
    assert.strictEqual(readFileSync(new URL("../../../.env.example", import.meta.url), "utf8"), dotEnvExample())
  })

  it("the table replaces what stands between its markers, and only there", () => {
    const page = "a\n<!-- settings -->\nold $& $1\n<!-- /settings -->\nz"
    assert.strictEqual(withTable(page), `a\n<!-- settings -->\n${markdownTable()}\n<!-- /settings -->\nz`)
    assert.strictEqual(withTable(withTable(page)), withTable(page))
    assert.strictEqual(withTable("no markers"), "no markers")
  })
})
