/**
 * What became of runs, on its way to the history: many at a time, and until the history has taken it.
 *
 * ## Guarantees
 * - Whoever keeps an ending goes on when it is recorded, or refused because somebody else has the run.
 */
import { Deferred, Effect, Exit, Queue, Schedule, Stream } from "effect"
import { type HeldRun, runId } from "../domain/JobRun.ts"
import { type Ending, JobHistory } from "../domain/ports/JobHistory.ts"
import { supervised } from "./Supervisor.ts"

/** Endings in one statement. */
const batchSize = 500

const untilTaken = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("2 seconds")])

interface Waiting {
  readonly ending: Ending
  readonly recorded: Deferred.Deferred<void>
}

/** What tells of a run in the log. */
export const annotated = ({ attempt, job, scheduledFor }: HeldRun) =>
  Effect.annotateLogs({ job, run: runId({ job, scheduledFor }), attempt })

const tellRefused = (run: HeldRun) =>
  annotated(run)(Effect.logWarning("was taken over by another: what this attempt would have recorded is refused"))

/** No endings yet; `onWaiting` is told when another run of a job waits for the end of one. */
export const make = Effect.fnUntraced(function* (onWaiting: () => void) {
  const history = yield* JobHistory
  const endings = yield* Queue.unbounded<Waiting>()

  const recordAll = Effect.gen(function* () {
    const batch = yield* Queue.takeBetween(endings, 1, batchSize)
    const record = history.record(batch.map(({ ending }) => ending))
    const { hasWaiting, refused } = yield* Effect.retry(record, {
      schedule: untilTaken,
      while: (error) => error.isRetryable
    })
    if (hasWaiting) onWaiting()
    yield* Effect.forEach(refused, tellRefused, { discard: true })
    for (const { recorded } of batch) Deferred.doneUnsafe(recorded, Exit.void)
  })

  return {
    keep: (ending: Ending): Effect.Effect<void> =>
      Effect.gen(function* () {
        const recorded = yield* Deferred.make<void>()
        yield* Queue.offer(endings, { ending, recorded })
        yield* Deferred.await(recorded)
      }),
    /** Goes on for ever. */
    recording: Stream.fromEffectRepeat(recordAll).pipe(supervised("job records"))
  }
})
