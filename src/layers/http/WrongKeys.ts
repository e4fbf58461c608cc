/**
 * Wrong keys, by the address that they come from: whoever guesses has few guesses.
 *
 * ## Guarantees
 * - After so many wrong keys within a minute, none from there is looked at, right or wrong, until the minute is over; other
 *   addresses are not kept waiting.
 * - What is remembered has a limit, however many addresses there are.
 *
 * Not Effect's `RateLimiter`, which counts what is let through, and remembers every key for ever.
 */
import { Clock, Effect } from "effect"

/** More than somebody mistypes. */
const mostGuesses = 10

const windowMillis = 60_000

/** Some hundred kilobytes. */
const mostAddresses = 10_000

interface Guesses {
  readonly count: number
  readonly until: number
}

/** None yet. */
export const make = () => {
  const guesses = new Map<string, Guesses>()
  const forgetOld = (now: number): void => {
    for (const [address, { until }] of guesses) if (until <= now) guesses.delete(address)
    if (guesses.size >= mostAddresses) guesses.clear()
  }
  return {
    /** How many seconds it is until a key from an address is looked at: none as a rule. */
    waitOf: (address: string): Effect.Effect<number> =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const { count, until } = guesses.get(address) ?? { count: 0, until: 0 }
        return count < mostGuesses || until <= now ? 0 : Math.ceil((until - now) / 1000)
      }),
    /** Counts a wrong key. */
    count: (address: string): Effect.Effect<void> =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const before = guesses.get(address)
        const isOver = before === undefined || before.until <= now
        if (before === undefined && guesses.size >= mostAddresses) forgetOld(now)
        guesses.set(address, isOver ? { count: 1, until: now + windowMillis } : { ...before, count: before.count + 1 })
      })
  }
}
