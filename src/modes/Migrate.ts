/** `--mode=migrate`: makes and upgrades the tables, then ends; with `--status` only says which migrations are applied. */
import { Console, Effect, Layer } from "effect"
import * as Settings from "../layers/config/Settings.ts"
import * as Migrations from "../layers/postgres/Migrations.ts"
import { asStoreError } from "../layers/postgres/SqlState.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import { Shutdown } from "../streams/Shutdown.ts"
import { serviceSettings, services } from "./Services.ts"
import { StoppedEarly } from "./StoppedEarly.ts"

const settings = Settings.all({
  services: Settings.withDatabase("migrate", serviceSettings),
  log: Settings.logSettings
})

export interface MigrateOptions {
  readonly status: boolean
  readonly json: boolean
}

const printStatus = (json: boolean) =>
  Effect.flatMap(Migrations.status, (all) => {
    const rows = all.map(({ appliedAt, name }) => ({ name, appliedAt: appliedAt?.toISOString() ?? null }))
    if (json) return Console.log(JSON.stringify(rows))
    return Effect.forEach(rows, ({ appliedAt, name }) => Console.log(`${name}  ${appliedAt ?? "missing"}`))
  })

const run = (json: boolean) =>
  Effect.flatMap(Migrations.migrate, (names) => {
    if (json) return Console.log(JSON.stringify({ applied: names }))
    return Console.log(
      names.length === 0 ? "nothing to migrate: the tables are up to date" : `migrated: ${names.join(", ")}`
    )
  })

/** Fails as soon as stopping is asked for. */
const stopped = Effect.gen(function* () {
  yield* (yield* Shutdown).requested
  return yield* new StoppedEarly({ detail: "before the end; what was under way is rolled back" })
})

/** Applies what is pending, or tells. */
export const migrate = Effect.fnUntraced(function* (options: MigrateOptions) {
  const environment = yield* Settings.environment
  const { log, services: where } = yield* Settings.load(settings, environment)
  const { paymentStore } = services(where, { maxConnections: 1, maxBytesInFlight: 0 })
  const address = where.postgres?.address ?? "the embedded server"
  const work = options.status ? printStatus(options.json) : run(options.json)
  yield* Effect.mapError(Effect.asVoid(work), asStoreError(address)).pipe(
    Effect.provide(Layer.provideMerge(paymentStore, Logs.besideAnswer(log))),
    Effect.raceFirst(stopped)
  )
})
