/** Durations as people write them: what is none is not taken for zero. */
import { Duration, Option } from "effect"

/** The duration, unless it is endless, not a number, or no duration at all. */
export const finiteDuration = (input: Duration.Input): Duration.Duration | undefined => {
  // What is not a number would pass for a duration of zero.
  const duration = Number.isNaN(input) ? undefined : Option.getOrUndefined(Duration.fromInput(input))
  return duration !== undefined && Duration.isFinite(duration) ? duration : undefined
}

/** Such an input in a message for people. */
export const shownDuration = (input: Duration.Input): string =>
  Duration.isDuration(input) ? Duration.format(input) : String(input)
