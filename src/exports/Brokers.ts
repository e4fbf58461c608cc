/** The brokers that workers run on, as layers. */
import { Effect, Layer } from "effect"
import * as Settings from "../layers/config/Settings.ts"

export { layer as memory } from "../layers/memory/MemoryBroker.ts"

/** Bodies that one worker may have in hand, in bytes. */
const maxBytesInFlight = 64 * 1024 * 1024

/**
 * The broker that the settings ask for: `BROKER`, and where it is, from the environment or `.env`, as in every mode of
 * Paystream. What is given here wins: `fromSettings({ BROKER: "embedded" })`. Connects when first used.
 */
export const fromSettings = (settings: Readonly<Record<string, string>> = {}) =>
  Layer.unwrap(
    Effect.gen(function* () {
      // Loaded where it is asked for: a module that only declares workers needs no driver.
      const { serviceSettings, services } = yield* Effect.promise(() => import("../modes/Services.ts"))
      const environment = Settings.override(yield* Settings.environment, settings)
      const where = yield* Settings.load(serviceSettings, environment)
      return services(where, { maxConnections: 2, maxBytesInFlight }).broker
    })
  )
