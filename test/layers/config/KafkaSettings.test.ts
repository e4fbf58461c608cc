import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Result } from "effect"
import * as Environment from "../../../src/layers/config/Environment.ts"
import { kafkaSettings } from "../../../src/layers/config/KafkaSettings.ts"
import { load } from "../../../src/layers/config/Setting.ts"

const pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
const files: Readonly<Record<string, string>> = { "/ca.pem": pem, "/password": "s3cret\n" }

const settingsOf = (variables: Readonly<Record<string, string>>) =>
  load(
    kafkaSettings,
    Environment.make(variables, (path) =>
      files[path] === undefined ? Result.fail("ENOENT") : Result.succeed(files[path])
    )
  )

const clientOf = (variables: Readonly<Record<string, string>>) =>
  Effect.map(settingsOf(variables), ({ client }) => Redacted.value(client))

describe("The settings of Kafka", () => {
  it.effect("are a broker on this machine without any security where nothing is set", () =>
    Effect.gen(function* () {
      const settings = yield* settingsOf({})
      assert.deepInclude(settings, { address: "localhost:9092", partitions: 6, replication: undefined })
      assert.deepStrictEqual(Redacted.value(settings.client), {
        brokers: ["localhost:9092"],
        clientId: "paystream",
        ssl: false
      })
    })
  )

  it.effect("take brokers, a login and certificates, secrets from files too", () =>
    Effect.gen(function* () {
      const client = yield* clientOf({
        KAFKA_BROKERS: "a:1, [::1]:2,10.0.0.1:65535",
        KAFKA_SASL_MECHANISM: "SCRAM-SHA-512",
        KAFKA_SASL_USERNAME: "me",
        KAFKA_SASL_PASSWORD_FILE: "/password",
        KAFKA_SSL_CA_FILE: "/ca.pem"
      })
      assert.deepStrictEqual(client, {
        brokers: ["a:1", "[::1]:2", "10.0.0.1:65535"],
        clientId: "paystream",
        ssl: { ca: pem.trimEnd() },
        sasl: { mechanism: "scram-sha-512", username: "me", password: "s3cret" }
      })
      assert.isTrue((yield* clientOf({ KAFKA_SSL: "yes" })).ssl)
    })
  )

  for (const [what, variables, names] of [
    ["a user without a mechanism", { KAFKA_SASL_USERNAME: "me" }, ["KAFKA_SASL_MECHANISM"]],
    [
      "a mechanism without a user and a password",
      { KAFKA_SASL_MECHANISM: "plain" },
      ["KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"]
    ],
    ["a mechanism that nobody knows", { KAFKA_SASL_MECHANISM: "gssapi" }, ["KAFKA_SASL_MECHANISM"]],
    ["a certificate without its key", { KAFKA_SSL_CERT: pem }, ["KAFKA_SSL_KEY"]],
    ["a key without its certificate", { KAFKA_SSL_KEY: pem }, ["KAFKA_SSL_CERT"]],
    ["certificates where TLS is switched off", { KAFKA_SSL: "no", KAFKA_SSL_CA: pem }, ["KAFKA_SSL"]],
    ["a path where a certificate should be", { KAFKA_SSL_CA: "/ca.pem" }, ["KAFKA_SSL_CA"]],
    ["brokers without a port", { KAFKA_BROKERS: "a:1,b" }, ["KAFKA_BROKERS"]],
    ["an address with credentials for a broker", { KAFKA_BROKERS: "kafka://me:s3cret@a:1" }, ["KAFKA_BROKERS"]],
    ["no partitions", { KAFKA_PARTITIONS: "0", KAFKA_REPLICATION: "0" }, ["KAFKA_PARTITIONS", "KAFKA_REPLICATION"]]
  ] as const) {
    it.effect(`refuse ${what}, by name and without a secret`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(settingsOf(variables))
        assert.deepStrictEqual(
          error.problems.map(({ name }) => name),
          [...names]
        )
        assert.notInclude(error.message, "s3cret")
      })
    )
  }
})
