/** Removes idempotency keys that have expired, in small batches, for as long as the process runs. */
import { type Duration, Effect, Stream } from "effect"
import { IdempotencyKeys } from "../domain/ports/IdempotencyKeys.ts"
import { untilShutdown } from "./Shutdown.ts"
import { supervised } from "./Supervisor.ts"

/** Small enough that nobody who claims a key waits for the rows that are removed. */
const batchSize = 500

const removeAll = Effect.gen(function* () {
  const keys = yield* IdempotencyKeys
  let removed = batchSize
  while (removed === batchSize) removed = yield* keys.removeExpired(batchSize)
})

/** A tick for each look; a database that is away has nothing to remove for now. */
export const expiredKeys = (every: Duration.Input) =>
  Stream.tick(every).pipe(
    untilShutdown,
    Stream.mapEffect(() =>
      Effect.catchIf(
        removeAll,
        (error) => error.isRetryable,
        (error) => Effect.logDebug(error.message)
      )
    ),
    supervised("expired keys")
  )
