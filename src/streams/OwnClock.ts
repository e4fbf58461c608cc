/** Time as this process counts it, by a clock that nobody sets: what has gone by means something, a moment does not. */
import { Clock, Effect } from "effect"

export const monotonicNanos = Clock.clockWith((clock) => Effect.succeed(clock.monotonicTimeNanosUnsafe()))

export const monotonicMillis = Clock.clockWith((clock) =>
  Effect.succeed(Number(clock.monotonicTimeNanosUnsafe()) / 1_000_000)
)
