/** What workers that ask for `dedupe`, and all of them against messages that kill the process, find around them. */
import { Effect, Layer, Stream } from "effect"
import { FinishedInputs } from "../domain/ports/FinishedInputs.ts"
import type * as Settings from "../layers/config/Settings.ts"
import { DedupeUnavailable, Deduplication } from "../streams/Deduplication.ts"
import { OrderedUnavailable } from "../streams/OrderedLanes.ts"
import { Suspects } from "../streams/Suspects.ts"
import type { Any } from "../streams/Worker.ts"
import { storesInOrder } from "../streams/WorkerStores.ts"

/** Refuses, by name, a worker that asks for what only a database can give. */
export const refuseWithoutDatabase = Effect.fnUntraced(function* (workers: ReadonlyArray<Any>) {
  for (const { dedupe, name, ordered } of workers) {
    if (dedupe) return yield* new DedupeUnavailable({ worker: name })
    if (ordered) return yield* new OrderedUnavailable({ worker: name })
  }
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
