/** Instants as messages, answers and logs write them. */
import { DateTime } from "effect"

/** ISO 8601, in UTC and with milliseconds. */
export const isoOf = (millis: number): string => DateTime.formatIso(DateTime.makeUnsafe(millis))
