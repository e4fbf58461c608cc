/** The job that removes for good, a good while later, what was marked as deleted. */
import { Duration, Effect } from "effect"
import { DeletedRows, type RemovedRows } from "../domain/ports/DeletedRows.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import type { StoreError } from "../domain/StoreError.ts"
import * as Job from "./Job.ts"

/** Until then it can be brought back by hand. */
const age = Duration.days(90)

/** Rows of a kind in one statement: short locks, and little for a replica to swallow. */
const batchSize = 1000

/** Others have their turn in between. */
const pause = "50 millis"

const removeAll = (sofar: RemovedRows): Effect.Effect<RemovedRows, StoreError, DeletedRows> =>
  Effect.gen(function* () {
    const rows = yield* DeletedRows
    const { paymentIntents, payments } = yield* rows.remove(age, batchSize)
    const all = { payments: sofar.payments + payments, paymentIntents: sofar.paymentIntents + paymentIntents }
    if (payments < batchSize && paymentIntents < batchSize) return all
    yield* Effect.sleep(pause)
    return yield* removeAll(all)
  })

/** Every night; says how many rows it has removed. */
export const databaseCleanup = Job.make(
  "database_cleanup",
  { schedule: "0 2 * * *", timeout: "1 hour", retry: RetryPolicy.exponential({ maxRetries: 3 }) },
  Effect.tap(removeAll({ payments: 0, paymentIntents: 0 }), (removed) =>
    Effect.annotateLogs(Effect.logInfo("removed what was deleted more than 90 days ago"), { ...removed })
  )
)
