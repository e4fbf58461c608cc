/**
 * Runs that somebody asks a scheduler for, beside its schedules.
 *
 * ## Guarantees
 * - Each begins at once, in a place of the scheduler's own, or not at all; whoever asks is told which.
 * - It is held, recorded and stopped as every other run.
 */
import { Deferred, Effect, Queue, Stream } from "effect"
import { type Holder, JobHistory } from "../domain/ports/JobHistory.ts"
import type { StoreError } from "../domain/StoreError.ts"
import type { Runnable } from "./JobBook.ts"
import type { JobRuns } from "./JobRuns.ts"
import { notTaken, RunNotTaken } from "./RunJobOnce.ts"
import { untilShutdown } from "./Shutdown.ts"
import { supervised } from "./Supervisor.ts"

interface Request<R> {
  readonly runnable: Runnable<R>
  readonly begun: Deferred.Deferred<void, RunNotTaken | StoreError>
  /** Somebody sees to it: there is an answer soon. */
  isTaken: boolean
}

/** The longest wait for a scheduler that still begins. */
const longestWait = "10 seconds"

const notBegun = new RunNotTaken({ detail: "the scheduler has not begun yet, or is stopping: try again in a moment" })

const noPlace = new RunNotTaken({
  detail: "as many jobs are running here as may (WORKER_MAX_CONCURRENT_JOBS): try again when one has ended"
})

const take = Effect.fnUntraced(function* <R>(runnable: Runnable<R>, runs: JobRuns<R>, holder: Holder) {
  if (runs.free() === 0) return yield* noPlace
  const history = yield* JobHistory
  yield* runs.withPlaces(1, (begin) =>
    Effect.flatMap(history.takeNow(holder, runnable.name, undefined), (run) =>
      run === undefined ? notTaken(runnable.name, undefined) : begin([{ run, runnable }])
    )
  )
})

/** Nobody has asked yet. */
export const make = <R>() =>
  Effect.map(Queue.unbounded<Request<R>>(), (requests) => ({
    /** Asks for a run; succeeds when it has begun. */
    ask: (runnable: Runnable<R>): Effect.Effect<void, RunNotTaken | StoreError> =>
      Effect.gen(function* () {
        const begun = yield* Deferred.make<void, RunNotTaken | StoreError>()
        const request: Request<R> = { runnable, begun, isTaken: false }
        yield* Queue.offer(requests, request)
        yield* Effect.timeoutOrElse(Deferred.await(begun), {
          duration: longestWait,
          // Whoever is told that it has not begun does not expect it to begin later.
          orElse: () =>
            Effect.andThen(request.isTaken ? Effect.void : Deferred.fail(begun, notBegun), Deferred.await(begun))
        })
      }),
    /** Begins what is asked for, until somebody asks to stop. */
    answering: (runs: JobRuns<R>, holder: Holder) =>
      Stream.fromEffectRepeat(Queue.take(requests)).pipe(
        untilShutdown,
        Stream.filter(({ begun }) => !Deferred.isDoneUnsafe(begun)),
        Stream.mapEffect((request) => {
          request.isTaken = true
          return Effect.flatMap(Effect.exit(take(request.runnable, runs, holder)), (exit) =>
            Effect.asVoid(Deferred.done(request.begun, exit))
          )
        }),
        supervised("asked jobs")
      )
  }))

/** Where a scheduler is asked for runs. */
export type JobRequests<R> = Effect.Success<ReturnType<typeof make<R>>>
