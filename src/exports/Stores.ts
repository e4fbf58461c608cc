/** What workers with `dedupe`, ordered ones, and all of them against messages that kill the process, keep; as layers. */
import { Duration, Effect, Layer, Result } from "effect"
import * as Settings from "../layers/config/Settings.ts"
import * as MemoryCrashMarks from "../layers/memory/MemoryCrashMarks.ts"
import * as MemoryFinishedInputs from "../layers/memory/MemoryFinishedInputs.ts"
import * as MemoryWaitingMessages from "../layers/memory/MemoryWaitingMessages.ts"
import { guards } from "../streams/WorkerStores.ts"

/** As many as `--mode=consumers` has for them. */
const maxConnections = 5

const withDatabase = Settings.refine(
  Settings.all({ database: Settings.database, guarantees: Settings.guaranteeSettings }),
  ({ database, guarantees }) =>
    database === "none"
      ? Result.fail([{ name: "DATABASE", got: '"none"', takes: "postgres or embedded for Stores.fromSettings" }])
      : Result.succeed(guarantees)
)

/**
 * The stores in the database that the settings ask for: `DATABASE` and `DATABASE_URL`, from the environment or `.env`, as
 * in every mode of Paystream. What is given here wins: `fromSettings({ DATABASE_URL: "postgresql://localhost/shop" })`.
 * Connects when first used; `Worker.run` makes the tables, unless `MIGRATE_ON_START=false`, and keeps them small.
 */
export const fromSettings = (settings: Readonly<Record<string, string>> = {}) =>
  Layer.unwrap(
    Effect.gen(function* () {
      // Loaded where it is asked for: a module that only declares workers needs no driver.
      const { databaseOnly, services } = yield* Effect.promise(() => import("../modes/Services.ts"))
      const environment = Settings.override(yield* Settings.environment, settings)
      const group = Settings.all({ where: databaseOnly, guarantees: withDatabase })
      const { guarantees, where } = yield* Settings.load(group, environment)
      return Layer.provideMerge(
        guards(guarantees),
        services(where, { maxConnections, maxBytesInFlight: 0 }).workerStores
      )
    })
  )

/** The same in memory, for tests of such a program. */
export const memory = Layer.provideMerge(
  guards({ dedupeRetention: Duration.weeks(1), maxCrashes: 3, suspectPatience: Duration.minutes(1) }),
  Layer.mergeAll(MemoryFinishedInputs.layer, MemoryCrashMarks.layer, MemoryWaitingMessages.layer)
)
