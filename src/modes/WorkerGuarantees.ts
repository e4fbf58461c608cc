/** What workers need a database for, and what becomes of them without one. */
import { Effect } from "effect"
import { FinishedInputs } from "../domain/ports/FinishedInputs.ts"
import * as Settings from "../layers/config/Settings.ts"
import { pixAudit } from "../streams/PixWorkers.ts"
import type { Any } from "../streams/Worker.ts"

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

/** Readiness of the database, where a worker waits for it. */
export const databaseDependency = Effect.map(FinishedInputs, ({ ping }) => ({
  name: "database",
  isReady: Effect.isSuccess(ping)
}))
