import { assert, describe, it } from "@effect/vitest"
import type { Options } from "amqplib"
import { Arbitrary, Redacted, Schema } from "effect"
import { rabbitMqSettings } from "../../../src/layers/config/RabbitMqSettings.ts"
import { anyText, problemsOf, settingsOf } from "./support.ts"

const read = (variables: Readonly<Record<string, string>>) => {
  const { url, connection, address, queueType } = settingsOf(rabbitMqSettings, variables)
  const parts: Options.Connect = Redacted.value(connection)
  return { url: Redacted.value(url), parts, address, queueType }
}

describe("rabbitMqSettings", () => {
  it("has a broker on this machine when nothing is set", () => {
    const { url, address, queueType } = read({})
    assert.strictEqual(url, "amqp://guest:guest@localhost:5672/%2F")
    assert.strictEqual(address, "localhost:5672/")
    assert.strictEqual(queueType, "classic")
  })

  it("RABBITMQ_URL wins over the parts, wrong ones included", () => {
    const { url, address } = read({ RABBITMQ_URL: "amqps://ann:s%40cret@broker.example/pay", RABBITMQ_PORT: "wrong" })
    assert.strictEqual(url, "amqps://ann:s%40cret@broker.example:5671/pay")
    assert.strictEqual(address, "broker.example:5671/pay")
  })

  const addresses: ReadonlyArray<readonly [string, string]> = [
    ["amqp://host", "amqp://guest:guest@host:5672/%2F"],
    ["amqp://host/", "amqp://guest:guest@host:5672/%2F"],
    ["AMQP://host/%2f", "amqp://guest:guest@host:5672/%2F"],
    ["amqp://ann@host/a/b", "amqp://ann:@host:5672/a%2Fb"],
    ["amqp://ann:p@ss:word@host:1", "amqp://ann:p%40ss%3Aword@host:1/%2F"],
    ["amqp://[::1]:5673/v?heartbeat=15&frameMax=x&other=1", "amqp://guest:guest@[::1]:5673/v?heartbeat=15"]
  ]
  for (const [given, complete] of addresses) {
    it(`completes ${given}`, () => assert.strictEqual(read({ RABBITMQ_URL: given }).url, complete))
  }

  const secretWord = "hunter2"
  const malformed: ReadonlyArray<readonly [string, string]> = [
    [`http://ann:${secretWord}@host`, "another scheme"],
    [`${secretWord}`, "percent-encoded"],
    [`amqp://ann:${secretWord}@/vhost`, "no host"],
    [`amqp://ann:${secretWord}@%2Fsocket/vhost`, "no host"],
    [`amqp://ann:${secretWord}@host:0`, "port"],
    [`amqp://ann:${secretWord}@host:99999`, "port"],
    [`amqp://ann:${secretWord}@a:1,b:2/`, "several hosts"],
    [`amqp://ann:100%${secretWord}@host`, "%25"],
    [`amqp://ann:12/${secretWord}@host/vhost`, "percent-encoded"],
    [`amqp://ann:${secretWord}#x@host`, "percent-encoded"],
    [`amqp://ann:${secretWord} @host`, "percent-encoded"]
  ]
  for (const [url, flaw] of malformed) {
    it(`says of ${url} what is wrong, without showing it`, () => {
      const problems = problemsOf(rabbitMqSettings, { RABBITMQ_URL: url })
      assert.lengthOf(problems, 1)
      assert.strictEqual(problems[0]?.name, "RABBITMQ_URL")
      assert.include(problems[0]?.takes, flaw)
      assert.notInclude(JSON.stringify(problems), secretWord)
    })
  }

  const options = { arbitrary: { runs: 300, size: 30 } }

  it.prop(
    "any user, password and virtual host survive the way into an address and back",
    {
      username: anyText,
      password: anyText,
      vhost: anyText
    },
    ({ username, password, vhost }) => {
      const encoded = [username, password, vhost].map(encodeURIComponent)
      const first = read({ RABBITMQ_URL: `amqp://${encoded[0]}:${encoded[1]}@host/${encoded[2]}` })
      const again = read({ RABBITMQ_URL: first.url })
      assert.deepStrictEqual(again, first)
      const { parts } = again
      assert.deepStrictEqual([parts.username, parts.password], [username, password])
      assert.strictEqual(decodeURIComponent(parts.vhost ?? ""), vhost)
    },
    options
  )

  it.prop(
    "any password in RABBITMQ_PASS is in the address as any client decodes it",
    { password: anyText },
    ({ password }) => {
      const url = new URL(read({ RABBITMQ_PASS: password }).url)
      assert.strictEqual(decodeURIComponent(url.password), password)
      assert.strictEqual(url.host, "localhost:5672")
    },
    options
  )

  const punctuation = Arbitrary.array(Arbitrary.schema(Schema.Literals([..."@:/?#%[]&=+ .\\x0"])), { maxLength: 12 })

  it.prop(
    "no address, however it is written, shows its password",
    { before: punctuation, after: punctuation },
    ({ before, after }) => {
      const url = `amqp://ann:${before.join("")}${secretWord}${after.join("")}@host/vhost`
      const problems = problemsOf(rabbitMqSettings, { RABBITMQ_URL: url })
      const shown = problems.length > 0 ? problems : settingsOf(rabbitMqSettings, { RABBITMQ_URL: url })
      assert.notInclude(JSON.stringify(shown), secretWord)
    },
    { arbitrary: { runs: 1000, size: 30 } }
  )

  const pem = "-----BEGIN CERTIFICATE-----"
  const amqps = "amqps://host"

  it("has certificates for amqps://, out of their files too", () => {
    const variables = {
      RABBITMQ_URL: amqps,
      RABBITMQ_SSL_CA_FILE: "/ca.pem",
      RABBITMQ_SSL_CERT: pem,
      RABBITMQ_SSL_KEY: pem
    }
    const { certificates } = settingsOf(rabbitMqSettings, variables, { "/ca.pem": `${pem}\n` })
    assert.deepStrictEqual(certificates && Redacted.value(certificates), { ca: pem, cert: pem, key: pem })
    assert.isUndefined(settingsOf(rabbitMqSettings, { RABBITMQ_URL: amqps }).certificates)
  })

  for (const [what, variables, name] of [
    ["a certificate without its key", { RABBITMQ_URL: amqps, RABBITMQ_SSL_CERT: pem }, "RABBITMQ_SSL_KEY"],
    ["a key without its certificate", { RABBITMQ_URL: amqps, RABBITMQ_SSL_KEY: pem }, "RABBITMQ_SSL_CERT"],
    ["a path where a certificate should be", { RABBITMQ_URL: amqps, RABBITMQ_SSL_CA: "/ca.pem" }, "RABBITMQ_SSL_CA"],
    ["certificates where no TLS is spoken", { RABBITMQ_SSL_CA: pem }, "RABBITMQ_URL"]
  ] as const) {
    it(`refuses ${what}`, () => {
      const problems = problemsOf(rabbitMqSettings, variables)
      assert.deepStrictEqual(
        problems.map((problem) => problem.name),
        [name]
      )
    })
  }

  it("a host that is a whole address does not show its password either", () => {
    const problems = problemsOf(rabbitMqSettings, { RABBITMQ_HOST: `amqp://ann:${secretWord}@host` })
    assert.deepStrictEqual(
      problems.map(({ got }) => got),
      [`"amqp://…@host"`]
    )
  })
})
