/**
 * What became of runs, on its way to the history: many at a time, and until the history has taken it.
 *
 * ## Guarantees
 * - Whoever adds an ending is told when it is recorded, or refused because somebody else has the run.
 */
import { Clock, Effect, Latch, Queue, Schedule, Stream } from "effect"
import { type HeldRun, runId } from "../domain/JobRun.ts"
import { type Ending, JobHistory } from "../domain/ports/JobHistory.ts"
import { supervised } from "./Supervisor.ts"

/** Endings in one statement. */
const batchSize = 500

const untilTaken = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("2 seconds")])

/**
 * For so long at most, what has ended is recorded later while other runs are waited for: half of the shortest time from one
 * occurrence to the next, which would be skipped or queued if this one were still open.
 */
const longestDelayMillis = 500

interface Ended {
  readonly ending: Ending
  readonly recorded: () => void
}

/** What tells of a run in the log. */
export const annotated = ({ attempt, job, scheduledFor }: HeldRun) =>
  Effect.annotateLogs({ job, run: runId({ job, scheduledFor }), attempt })

const tellRefused = (run: HeldRun) =>
  annotated(run)(Effect.logWarning("was taken over by another: what this attempt would have recorded is refused"))

/** Who is told of what was recorded. */
export interface Listener {
  /** Another run of one of these jobs waits for the end of one. */
  readonly waiting: () => void
  /** Some endings are recorded, or refused. */
  readonly recorded: () => void
}

/** Time for what is more urgent than records. */
const makeDelay = () => {
  const over = Latch.makeUnsafe(true)
  let until = 0
  return {
    /** Waits until it is over, or has lasted too long. */
    wait: Effect.flatMap(Clock.currentTimeMillis, (now) =>
      until <= now ? Effect.void : Effect.asVoid(Effect.timeoutOption(over.await, until - now))
    ),
    during: <A, E, R>(urgent: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        until = now + longestDelayMillis
        over.closeUnsafe()
        return Effect.ensuring(
          urgent,
          Effect.sync(() => over.openUnsafe())
        )
      }),
    end: (): void => void over.openUnsafe()
  }
}

/** No endings yet. */
export const make = Effect.fnUntraced(function* (listener: Listener) {
  const history = yield* JobHistory
  const endings = yield* Queue.unbounded<Ended>()
  const delay = makeDelay()

  const recordAll = Effect.gen(function* () {
    yield* Queue.peek(endings)
    yield* delay.wait
    const batch = yield* Queue.takeBetween(endings, 1, batchSize)
    const record = history.record(batch.map(({ ending }) => ending))
    const { hasWaiting, refused } = yield* Effect.retry(record, {
      schedule: untilTaken,
      while: (error) => error.isRetryable
    })
    if (hasWaiting) listener.waiting()
    yield* Effect.forEach(refused, tellRefused, { discard: true })
    for (const { recorded } of batch) recorded()
    listener.recorded()
  })
  const add = (ending: Ending, recorded: () => void): void => void Queue.offerUnsafe(endings, { ending, recorded })

  return {
    /** Records it in its turn, and says so. */
    add,
    /** Records it in its turn, and waits for that. */
    keep: (ending: Ending): Effect.Effect<void> => Effect.callback((resume) => add(ending, () => resume(Effect.void))),
    /** Records what ends meanwhile a moment later, unless that is wanted `now`. */
    later: delay.during,
    now: delay.end,
    /** Goes on for ever. */
    recording: Stream.fromEffectRepeat(recordAll).pipe(supervised("job records"))
  }
})
