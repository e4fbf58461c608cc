import { Duration, Effect, Exit } from "effect"

/** Sleeps on the real clock, whatever clock the test runs on: what is waited for is outside of the process. */
export const realSleep = (duration: Duration.Input): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const timer = setTimeout(() => resume(Effect.void), Duration.toMillis(duration))
    return Effect.sync(() => clearTimeout(timer))
  })

/**
 * Repeats a check until it succeeds, and gives its value. At the deadline it fails as the check last did, failed
 * assertions included, so that a test says what was wrong rather than that time was up.
 */
export const eventually = <A, E, R>(
  check: Effect.Effect<A, E, R>,
  options: { readonly deadline: Duration.Input; readonly every?: Duration.Input }
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let last: Exit.Exit<A, E> = Exit.die(
      `the check gave no answer within ${Duration.format(Duration.fromInputUnsafe(options.deadline))}`
    )
    const attempts = Effect.gen(function* () {
      while (true) {
        last = yield* Effect.exit(check)
        if (Exit.isSuccess(last)) return last.value
        yield* realSleep(options.every ?? "20 millis")
      }
    })
    const timeIsUp = Effect.flatMap(realSleep(options.deadline), () => last)
    return Effect.raceFirst(attempts, timeIsUp)
  })
