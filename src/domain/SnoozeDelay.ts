/** How long a message waits whose handler asks to be asked again later. */
import { Duration } from "effect"
import { finiteDuration, shownDuration } from "./FiniteDuration.ts"

/** As exactly as brokers keep time; a handler that says "now" again and again does not keep them busy. */
const shortest = Duration.millis(100)

/** The wait that was asked for, but never less than a tenth of a second; throws where it is no finite duration. */
export const snoozeDelay = (input: Duration.Input): Duration.Duration => {
  const delay = finiteDuration(input)
  if (delay !== undefined) return Duration.max(delay, shortest)
  throw new RangeError(`Worker.snooze takes a finite duration, got ${shownDuration(input)}`)
}
