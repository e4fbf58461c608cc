/** Schedulers on a history in memory and a clock of the test's own, which begins at 1970. */
import { Duration, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { JobHistory, type KeptJob } from "../../src/domain/ports/JobHistory.ts"
import * as MemoryJobHistory from "../../src/layers/memory/MemoryJobHistory.ts"
import type { Any } from "../../src/streams/Job.ts"
import type { Runnable } from "../../src/streams/JobBook.ts"
import { jobScheduler } from "../../src/streams/JobScheduler.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import { Supervisor } from "../../src/streams/Supervisor.ts"
import { settled } from "./TopicStage.ts"

/** What a test of a scheduler needs. */
export const ports = MemoryJobHistory.layer

export interface SchedulerOptions {
  readonly replica?: string
  readonly maxConcurrent?: number
  readonly defaultTimeout?: Duration.Input
  readonly drain?: Duration.Input
  readonly added?: (job: KeptJob) => Runnable<never>
  readonly history?: JobHistory["Service"]
}

/** Starts a scheduler, which knows its jobs when this returns. */
export const startScheduler = Effect.fnUntraced(function* (
  jobs: ReadonlyArray<Any<never>>,
  options: SchedulerOptions = {}
) {
  const own = yield* Layer.build(Layer.fresh(Layer.merge(Shutdown.layer, Supervisor.layer)))
  const history = options.history ?? (yield* JobHistory)
  const run = jobScheduler<never>({
    jobs,
    added: options.added,
    holder: { replica: options.replica ?? "one", lease: Duration.seconds(15) },
    maxConcurrent: options.maxConcurrent ?? 10,
    defaultTimeout: Duration.fromInputUnsafe(options.defaultTimeout ?? "5 minutes"),
    drain: Duration.fromInputUnsafe(options.drain ?? "25 seconds")
  }).pipe(Effect.provideService(JobHistory, history), Effect.provideContext(own))
  const fiber = yield* Effect.forkScoped(run, { startImmediately: true })
  yield* settled
  return {
    fiber,
    request: Effect.provideContext(
      Shutdown.use((shutdown) => shutdown.request),
      own
    ),
    stop: Effect.andThen(
      Effect.provideContext(
        Shutdown.use((shutdown) => shutdown.request),
        own
      ),
      Fiber.join(fiber)
    ),
    /** As if its process were gone: nothing is told to anybody. */
    kill: Effect.sync(() => fiber.interruptUnsafe())
  }
})

/** Lets so much time go by, step by step, and all that follows from it. */
export const elapse = (duration: Duration.Input) =>
  Effect.gen(function* () {
    const stepMillis = 500
    for (let left = Duration.toMillis(duration); left > 0; left -= stepMillis) {
      yield* TestClock.adjust(Math.min(stepMillis, left))
      yield* settled
    }
  })

/** The runs of a job, oldest first, in a few words: when, how it ended, at which attempt. */
export const historyOf = (job: string) =>
  Effect.map(
    JobHistory.use((history) => history.runs({ job, onlyFailed: false, limit: 1000 })),
    (runs) =>
      runs
        .toReversed()
        .map(({ attempt, isOpen, outcome, scheduledFor }) =>
          [scheduledFor / 1000, outcome ?? (attempt === 0 ? "waits" : "runs"), isOpen ? "open" : "", attempt].join(" ")
        )
  )
