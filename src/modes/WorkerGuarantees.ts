/** What workers that ask for `dedupe`, and all of them against messages that kill the process, find around them. */
import { Effect, Layer, Stream } from "effect"
import { FinishedInputs } from "../domain/ports/FinishedInputs.ts"
import * as Settings from "../layers/config/Settings.ts"
import { Deduplication } from "../streams/Deduplication.ts"
import { pixAudit } from "../streams/PixWorkers.ts"
import { Suspects } from "../streams/Suspects.ts"
import type { Any } from "../streams/Worker.ts"
import { storesInOrder } from "../streams/WorkerStores.ts"

/** What a worker needs a database for. */
const needsOf = (worker: Any): ReadonlyArray<string> => [
  ...(worker.dedupe ? ["dedupe: true"] : []),
  ...(worker.ordered === undefined ? [] : ["ordered: true"]),
  ...(worker === pixAudit ? ["the audit log"] : [])
]

/** Refuses, all of them by name, workers that ask for what only a database can give. */
export const refuseWithoutDatabase = Effect.fnUntraced(function* (workers: ReadonlyArray<Any>) {
  const needing = workers.filter((worker) => needsOf(worker).length > 0)
  if (needing.length === 0) return
  const said = needing.map((worker) => `worker ${worker.name} (${needsOf(worker).join(", ")})`)
  const takes = `postgres (with DATABASE_URL) or embedded for ${said.join(", ")}`
  return yield* new Settings.SettingsError({ problems: [{ name: "DATABASE", got: '"none"', takes }] })
})

/** Whether one of them waits for the database. */
export const needsDatabase = (workers: ReadonlyArray<Any>): boolean =>
  workers.some(({ dedupe, ordered }) => dedupe || ordered !== undefined)

/** Readiness of the database, where a worker waits for it. */
export const databaseDependency = Effect.map(FinishedInputs, ({ ping }) => ({
  name: "database",
  isReady: Effect.isSuccess(ping)
}))

/** What the workers find in their context where there is a database. */
export const guards = ({ maxCrashes, suspectPatience }: Settings.GuaranteeSettings) =>
  Layer.merge(Deduplication.layer, Suspects.layer({ maxCrashes, patience: suspectPatience }))

/** The stores kept in order beside the work; whoever has no `dedupe` does not wait for them, nor end because of them. */
export const keepingStores = <A, E, R>(
  workers: ReadonlyArray<Any>,
  { dedupeRetention }: Settings.GuaranteeSettings,
  work: Effect.Effect<A, E, R>
) => {
  const stores = storesInOrder({ dedupeRetention, isNeeded: needsDatabase(workers) })
  return Effect.raceFirst(work, Effect.andThen(Stream.runDrain(stores), Effect.never))
}
