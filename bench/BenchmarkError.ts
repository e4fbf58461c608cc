import { Data, Effect } from "effect"

/** A measurement that could not be made, or one whose result is not exact: either way there is no figure to print. */
export class BenchmarkError extends Data.TaggedError("BenchmarkError")<{
  readonly message: string
  readonly cause?: unknown
}> {}

/** Runs a promise; `what` says in the error what was being tried. */
export const attempt = <A>(what: string, evaluate: () => PromiseLike<A>): Effect.Effect<A, BenchmarkError> =>
  Effect.tryPromise({
    try: evaluate,
    catch: (cause) => new BenchmarkError({ message: `${what}: ${cause}`, cause })
  })

/** Fails with `message` unless it holds. */
export const check = (holds: boolean, message: string): Effect.Effect<void, BenchmarkError> =>
  holds ? Effect.void : Effect.fail(new BenchmarkError({ message }))
