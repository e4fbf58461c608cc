/** Every curl of the guides is run, as it is written there. */
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Guide from "../support/Guide.ts"
import * as HealthPages from "../support/HealthPages.ts"
import { freePort } from "../support/servers/freePort.ts"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

const embedded = Effect.gen(function* () {
  const folder = yield* temporaryFolder("guide")
  const port = `${yield* freePort}`
  const env = { BROKER: "embedded", DATABASE: "embedded", PAYSTREAM_DATA: folder, HEALTH_PORT: "0" }
  return { port, env: { ...env, PORT: port, API_HOST: "127.0.0.1" } }
})

describe("the guide to the PIX system", () => {
  it.live("shows answers as they are", () =>
    Effect.gen(function* () {
      const { env, port } = yield* embedded
      const health = yield* freePort
      const consumersEnv = { ...env, HEALTH_PORT: `${health}` }
      yield* Program.start({ runtime: "bun", args: ["--mode=consumers"], env: consumersEnv })
      // an event that comes before they have subscribed is nobody's
      yield* HealthPages.waitForWorkers(health, 5)
      const api = yield* Program.start({ runtime: "bun", args: ["--mode=api"], env })
      yield* api.waitForLine(/listening at port/)
      yield* Guide.holds("docs/pix.md", port)
    })
  )
})

describe("the guide to payments", () => {
  for (const page of ["docs/payments-api.md", "README.md"]) {
    it.live(`shows answers as they are in ${page}`, () =>
      Effect.gen(function* () {
        const { env, port } = yield* embedded
        const all = yield* Program.start({
          runtime: "bun",
          args: ["--mode=all"],
          env: { ...env, PAYMENT_GATEWAY: "sandbox" }
        })
        yield* all.waitForLine(/listening at port/)
        yield* Guide.holds(page, port)
      })
    )
  }
})
