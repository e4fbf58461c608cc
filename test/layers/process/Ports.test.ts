import { once } from "node:events"
import { createServer } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Scope } from "effect"
import * as Ports from "../../../src/layers/process/Ports.ts"
import { takenPort } from "../../support/servers/takenPort.ts"

const host = "127.0.0.1"

describe("a kept port", () => {
  it.live("is not one at which somebody listens", () =>
    Effect.gen(function* () {
      const taken = yield* takenPort
      const kept = yield* Ports.keepFrom(taken, host)
      assert.isAbove(kept.port, taken)
    }).pipe(Effect.scoped)
  )

  it.live("is nobody else's after its release, until its scope closes, and can be listened at", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(Ports.keepFrom(yield* takenPort, host), scope)
      const besideIt = yield* Ports.keepFrom(first.port, host)
      assert.isAbove(besideIt.port, first.port)
      yield* first.release
      const afterRelease = yield* Ports.keepFrom(first.port, host)
      assert.isAbove(afterRelease.port, besideIt.port)

      yield* Effect.promise(async () => {
        const server = createServer().listen(first.port, host)
        await once(server, "listening")
        server.close()
        await once(server, "close")
      })

      yield* Scope.close(scope, yield* Effect.exit(Effect.void))
      assert.strictEqual((yield* Ports.keepFrom(first.port, host)).port, first.port)
    }).pipe(Effect.scoped)
  )
})
