/** What is tried until it works, however long a service is away. */
import { Effect, Schedule } from "effect"
import { Shutdown } from "./Shutdown.ts"
import type { Retryable } from "./Supervisor.ts"

/** From 100 ms to 5 s, each ±20 %: quick after a hiccup, no load to speak of on a service that starts. */
const untilBack = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("5 seconds")]).pipe(
  Schedule.jittered
)

/** Goes on until it works, or until the process is asked to stop: then there is no result. */
export const untilStopped = <A, E extends Retryable, R>(
  attempt: Effect.Effect<A, E, R>,
  options: { /** In place of the attempt, once it has failed. */ readonly again: Effect.Effect<A, E, R> } = {
    again: attempt
  }
): Effect.Effect<A | undefined, E, R | Shutdown> => {
  const again = Effect.retry(Effect.delay(options.again, "100 millis"), {
    schedule: untilBack,
    while: (error) => error.isRetryable
  })
  // The first attempt is never given up: it may have done its work.
  return Effect.catchIf(
    attempt,
    (error) => error.isRetryable,
    () => Effect.flatMap(Shutdown, ({ requested }) => Effect.raceFirst(again, Effect.as(requested, undefined)))
  )
}
