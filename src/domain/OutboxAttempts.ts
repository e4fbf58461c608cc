/** What becomes of an event whose publishing has failed. */
import type { Duration } from "effect"
import type { BrokerError, BrokerStatus } from "./ports/Broker.ts"
import * as RetryPolicy from "./RetryPolicy.ts"

/** How one failed attempt is written down. */
export interface FailedAttempt {
  readonly id: string
  /** Those before this one: who has counted meanwhile wins. */
  readonly attemptsBefore: number
  /** A reason, never a payload. */
  readonly reason: string
  /** Until the next attempt, if there is one. */
  readonly delay: Duration.Duration
}

/** Reasons are shown in lists, and kept in a row. */
const longestReason = 500

/** The failed attempt of an event; `random` is from 0 to before 1. */
export const failedAttempt = (
  event: { readonly id: string; readonly attempts: number },
  reason: string,
  policy: RetryPolicy.RetryPolicy,
  random: number
): FailedAttempt => ({
  id: event.id,
  attemptsBefore: event.attempts,
  reason: reason.slice(0, longestReason).toWellFormed().replaceAll("\0", ""),
  delay: RetryPolicy.jitteredDelay(policy, event.attempts + 1, random)
})

/**
 * Whose fault it is that an event, published alone, was not taken. The broker being away is no event's fault; a broker
 * that is there and says no means this event.
 */
export const blamesEvent = ({ reason }: BrokerError, status: BrokerStatus): boolean => {
  switch (reason._tag) {
    case "BrokerAway":
      return false
    case "BrokerRefused":
      return status === "connected"
    case "MessageRefused":
    case "Unroutable":
      return true
  }
}
