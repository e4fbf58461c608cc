/** Runs that somebody asks a scheduler for, beside its schedules: each begins at once, and is recorded as every other. */
import { Deferred, Effect, Queue } from "effect"
import type { StoreError } from "../domain/StoreError.ts"
import type { Runnable } from "./JobBook.ts"
import type { JobRunsOptions } from "./JobRuns.ts"
import { RunNotTaken, runJobOnce } from "./RunJobOnce.ts"

interface Request<R> {
  readonly runnable: Runnable<R>
  readonly begun: Deferred.Deferred<void, RunNotTaken | StoreError>
}

/** The longest wait for a scheduler that still begins, or whose database is away. */
const longestWait = "10 seconds"

const notBegun = new RunNotTaken({ detail: "the scheduler has not begun yet, or is stopping: try again in a moment" })

const serve = Effect.fnUntraced(function* <R>({ begun, runnable }: Request<R>, options: JobRunsOptions) {
  if (yield* Deferred.isDone(begun)) return
  const told = { ...runnable, run: Effect.andThen(Deferred.succeed(begun, undefined), runnable.run) }
  yield* Effect.matchCauseEffect(runJobOnce(told, undefined, options), {
    onFailure: (cause) => Deferred.failCause(begun, cause),
    // taken, and not begun: somebody asked to stop just then
    onSuccess: () => Deferred.fail(begun, notBegun)
  })
})

/** Nobody has asked yet. */
export const make = <R>() =>
  Effect.map(Queue.unbounded<Request<R>>(), (requests) => ({
    /** Asks for a run; succeeds when it has begun. */
    ask: (runnable: Runnable<R>): Effect.Effect<void, RunNotTaken | StoreError> =>
      Effect.gen(function* () {
        const begun = yield* Deferred.make<void, RunNotTaken | StoreError>()
        yield* Queue.offer(requests, { runnable, begun })
        yield* Effect.timeoutOrElse(Deferred.await(begun), {
          duration: longestWait,
          // whoever is told that it has not begun does not expect it to begin later
          orElse: () => Effect.andThen(Deferred.fail(begun, notBegun), Deferred.await(begun))
        })
      }),
    /** Begins what is asked for, for ever. */
    serve: (options: JobRunsOptions) =>
      Effect.scoped(
        Effect.forever(Effect.flatMap(Queue.take(requests), (request) => Effect.forkScoped(serve(request, options))))
      )
  }))
