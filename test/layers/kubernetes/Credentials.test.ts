import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { TestClock } from "effect/testing"
import * as Credentials from "../../../src/layers/kubernetes/Credentials.ts"

/** What a pod is given. */
const mounted = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = mkdtempSync(join(tmpdir(), "paystream-service-account-"))
    writeFileSync(join(folder, "ca.crt"), "AUTHORITY")
    writeFileSync(join(folder, "token"), "first\n")
    return folder
  }),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

const inPod = (folder: string) => ({ _tag: "ServiceAccount", host: "10.0.0.1", port: 443, folder }) as const

const tokenOf = ({ token }: Credentials.Credentials) => Effect.map(token, (found) => found && Redacted.value(found))

describe("A service account's token", () => {
  it.effect("is read again when it is older than a minute", () =>
    Effect.gen(function* () {
      const folder = yield* mounted
      const credentials = yield* Credentials.load(inPod(folder))
      assert.strictEqual(credentials.server.href, "https://10.0.0.1/")
      assert.strictEqual(Redacted.value(credentials.tls).ca, "AUTHORITY")
      writeFileSync(join(folder, "token"), "second")
      assert.strictEqual(yield* tokenOf(credentials), "first")
      yield* TestClock.adjust("61 seconds")
      assert.strictEqual(yield* tokenOf(credentials), "second")
    })
  )

  it.effect("is read again once it was refused", () =>
    Effect.gen(function* () {
      const folder = yield* mounted
      const credentials = yield* Credentials.load(inPod(folder))
      writeFileSync(join(folder, "token"), "second")
      yield* credentials.forgetToken
      assert.strictEqual(yield* tokenOf(credentials), "second")
    })
  )

  it.effect("stays in use while its file cannot be read", () =>
    Effect.gen(function* () {
      const folder = yield* mounted
      const credentials = yield* Credentials.load(inPod(folder))
      rmSync(join(folder, "token"))
      yield* credentials.forgetToken
      assert.strictEqual(yield* tokenOf(credentials), "first")
    })
  )

  it.effect("that is missing at the start is a problem of the configuration", () =>
    Effect.gen(function* () {
      const folder = yield* mounted
      rmSync(join(folder, "token"))
      const error = yield* Effect.flip(Credentials.load(inPod(folder)))
      assert.include(error.message, `${join(folder, "token")} (ENOENT)`)
    })
  )
})
