/** Schedulers on a history in memory and a clock of the test's own, which begins at 1970. */
import { it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, type Scope } from "effect"
import { TestClock } from "effect/testing"
import { type JobDefinition, JobHistory, type KeptJob } from "../../src/domain/ports/JobHistory.ts"
import { StoreAway, StoreError } from "../../src/domain/StoreError.ts"
import * as MemoryJobHistory from "../../src/layers/memory/MemoryJobHistory.ts"
import * as Job from "../../src/streams/Job.ts"
import type { Runnable } from "../../src/streams/JobBook.ts"
import * as JobRequests from "../../src/streams/JobRequests.ts"
import { announce, jobScheduler } from "../../src/streams/JobScheduler.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import { Supervisor } from "../../src/streams/Supervisor.ts"
import { settled } from "./TopicStage.ts"

/** A test on a history of its own. */
export const test = <E>(name: string, body: () => Effect.Effect<void, E, JobHistory | Scope.Scope>) =>
  it.effect(name, () => Effect.provide(body(), MemoryJobHistory.layer))

export const everyMinute = { schedule: "* * * * *" } as const

/** A job that was added by hand, and publishes. */
export const added: JobDefinition = {
  name: "added",
  ...everyMinute,
  timeZone: "UTC",
  overlap: "skip",
  catchUp: "latest",
  publishes: { topic: "bills", payload: "1" }
}

/** A job that notes at which second it runs. */
export const noting = (options: Job.JobOptions = everyMinute, work: Effect.Effect<unknown, unknown> = Effect.void) => {
  const ran: Array<number> = []
  const note = Effect.clockWith((clock) => Effect.sync(() => void ran.push(clock.currentTimeMillisUnsafe() / 1000)))
  return { ran, job: Job.make("noting", options, Effect.andThen(note, work)) }
}

/** What a history says that does not answer. */
export const storeAway = Effect.fail(new StoreError({ reason: new StoreAway({ detail: "away", code: "08006" }) }))

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
  jobs: ReadonlyArray<Job.Any<never>>,
  options: SchedulerOptions = {}
) {
  const own = yield* Layer.build(Layer.fresh(Layer.merge(Shutdown.layer, Supervisor.layer)))
  const history = options.history ?? (yield* JobHistory)
  const requests = yield* JobRequests.make<never>()
  const run = jobScheduler<never>({
    jobs,
    added: options.added,
    requests,
    holder: { replica: options.replica ?? "one", lease: Duration.seconds(15) },
    maxConcurrent: options.maxConcurrent ?? 10,
    defaultTimeout: Duration.fromInputUnsafe(options.defaultTimeout ?? "5 minutes"),
    drain: Duration.fromInputUnsafe(options.drain ?? "25 seconds")
  }).pipe(Effect.provideService(JobHistory, history), Effect.provideContext(own))
  yield* Effect.provideContext(announce, own)
  const fiber = yield* Effect.forkScoped(run, { startImmediately: true })
  yield* settled
  return {
    fiber,
    /** Asks for a run of a job, now. */
    ask: requests.ask,
    /** What its streams are doing. */
    states: Effect.provideContext(
      Supervisor.use(({ states }) => states),
      own
    ),
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
