import { assert, describe, it } from "@effect/vitest"
import { Redacted } from "effect"
import { redisSettings } from "../../../src/layers/config/RedisSettings.ts"
import { problemsOf, settingsOf } from "./support.ts"

const read = (url: string) => {
  const settings = settingsOf(redisSettings, { REDIS_URL: url })
  return settings && { ...settings, password: settings.password && Redacted.value(settings.password) }
}

const plain = { port: 6379, tls: false, username: undefined, password: undefined, database: 0 }

describe("redisSettings", () => {
  it("has no Redis when nothing is set", () => {
    assert.isUndefined(settingsOf(redisSettings, {}))
  })

  it("takes an address apart, and shows the part that is no secret", () => {
    const address = "redis.example:7000/12"
    assert.deepStrictEqual(read("rediss://ann:s%40cret@redis.example:7000/12"), {
      host: "redis.example",
      port: 7000,
      tls: true,
      username: "ann",
      password: "s@cret",
      database: 12,
      address
    })
  })

  it("completes an address", () => {
    assert.deepStrictEqual(read("redis://cache"), { ...plain, host: "cache", address: "cache:6379/0" })
    assert.deepStrictEqual(read("REDIS://[::1]/"), { ...plain, host: "::1", address: "[::1]:6379/0" })
  })

  it("takes a password without a user, and a user without a password", () => {
    assert.deepStrictEqual(
      [read("redis://:secret@cache")?.username, read("redis://:secret@cache")?.password],
      [undefined, "secret"]
    )
    assert.deepStrictEqual(
      [read("redis://ann@cache")?.username, read("redis://ann@cache")?.password],
      ["ann", undefined]
    )
  })

  it("reads the address from a file", () => {
    const settings = settingsOf(redisSettings, { REDIS_URL_FILE: "/run/redis" }, { "/run/redis": "redis://cache:1\n" })
    assert.strictEqual(settings?.address, "cache:1/0")
  })

  const secretWord = "hunter2"
  const malformed: ReadonlyArray<readonly [string, string]> = [
    [`http://ann:${secretWord}@host`, "another scheme"],
    [`redis://ann:${secretWord}@`, "no host"],
    [`redis://ann:${secretWord}@%2Fsocket`, "no host"],
    [`redis://ann:${secretWord}@host/name`, "database"],
    [`redis://ann:${secretWord}@host:0`, "port"],
    [`redis://ann:${secretWord}@host/0?ssl_cert_reqs=none`, "parameters"]
  ]
  for (const [url, flaw] of malformed) {
    it(`says of ${url} what is wrong, without showing it`, () => {
      const problems = problemsOf(redisSettings, { REDIS_URL: url })
      assert.lengthOf(problems, 1)
      assert.strictEqual(problems[0]?.name, "REDIS_URL")
      assert.include(problems[0]?.takes, flaw)
      assert.notInclude(JSON.stringify(problems), secretWord)
    })
  }
})
