/** Removes what is older than it is to be kept, in small batches, for as long as the process runs. */
import { type Duration, Effect, Metric, Stream } from "effect"
import { seriesOf } from "./MetricSeries.ts"
import { Shutdown, untilShutdown } from "./Shutdown.ts"
import { supervised } from "./Supervisor.ts"

export interface RetentionOptions<E, R> {
  /** What is removed, for logs and figures. */
  readonly what: string
  /** How long it is kept; `undefined` is for ever. */
  readonly age: Duration.Duration | undefined
  /** Removes at most `limit` that are older than `age`; the number of those removed. */
  readonly forget: (age: Duration.Duration, limit: number) => Effect.Effect<number, E, R>
}

/** Rows in one statement: short locks, and little for a replica to swallow. */
const batchSize = 1000
/** Several processes do the same: what is due waits no longer than this. */
const every = "10 minutes"

const removed = seriesOf(["what"], (attributes) =>
  Metric.counter("paystream_removed_total", {
    description: "Rows removed since they were older than they are to be kept",
    attributes,
    incremental: true
  })
)

const removeAll = <E, R>(what: string, forget: Effect.Effect<number, E, R>): Effect.Effect<void, E, R | Shutdown> =>
  Effect.gen(function* () {
    const { isRequested } = yield* Shutdown
    const count = yield* forget
    yield* Metric.update(removed(what), count)
    if (count < batchSize || (yield* isRequested)) return
    yield* removeAll(what, forget)
  })

/** A process works as well without it: what goes wrong is said once, and tried again in its time. */
const toldOnce = (what: string) => {
  let told = ""
  return (error: { readonly message: string }) =>
    Effect.suspend(() => {
      const isNew = error.message !== told
      told = error.message
      return isNew ? Effect.logWarning(`old ${what} cannot be removed: ${told}`) : Effect.void
    })
}

/** Runs for ever; where all is kept, there is nothing to do. */
export const retention = <E extends { readonly message: string }, R>({ age, forget, what }: RetentionOptions<E, R>) => {
  if (age === undefined) return Stream.never
  const tell = toldOnce(what)
  return Stream.tick(every).pipe(
    untilShutdown,
    Stream.mapEffect(() => Effect.catch(removeAll(what, forget(age, batchSize)), tell)),
    supervised(`${what} retention`)
  )
}

/** Work, and a retention for as long as it lasts. */
export const besideRetention =
  <E2 extends { readonly message: string }, R2>(options: RetentionOptions<E2, R2>) =>
  <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.raceFirst(work, Effect.andThen(Stream.runDrain(retention(options)), Effect.never))
