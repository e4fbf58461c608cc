/** Time as this process counts it, by a clock that nobody sets: what has gone by means something, a moment does not. */
import { Clock, Effect } from "effect"

export const monotonicNanos = Clock.Clock.use((clock) => clock.monotonicTimeNanos)

export const monotonicMillis = Effect.map(monotonicNanos, (nanos) => Number(nanos) / 1_000_000)
