import { createServer } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Scope } from "effect"
import * as Ports from "../../../src/layers/process/Ports.ts"

const host = "127.0.0.1"

const listenedAt = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, host, resolve))
    return server
  }),
  (server) => Effect.promise(() => new Promise((resolve) => server.close(resolve)))
)

const portOf = (server: ReturnType<typeof createServer>): number => {
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

describe("a kept port", () => {
  it.live("is not one at which somebody listens", () =>
    Effect.gen(function* () {
      const taken = portOf(yield* listenedAt)
      const kept = yield* Ports.keepFrom(taken, host)
      assert.isAbove(kept.port, taken)
    }).pipe(Effect.scoped)
  )

  it.live("is nobody else's after its release, until its scope closes, and can be listened at", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(Ports.keepFrom(portOf(yield* listenedAt), host), scope)
      const besideIt = yield* Ports.keepFrom(first.port, host)
      assert.isAbove(besideIt.port, first.port)
      yield* first.release
      const afterRelease = yield* Ports.keepFrom(first.port, host)
      assert.isAbove(afterRelease.port, besideIt.port)

      const server = createServer()
      yield* Effect.promise(() => new Promise<void>((resolve) => server.listen(first.port, host, resolve)))
      assert.strictEqual(portOf(server), first.port)
      yield* Effect.promise(() => new Promise((resolve) => server.close(resolve)))

      yield* Scope.close(scope, yield* Effect.exit(Effect.void))
      assert.strictEqual((yield* Ports.keepFrom(first.port, host)).port, first.port)
    }).pipe(Effect.scoped)
  )
})
