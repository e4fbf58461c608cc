/** Rests until an instant, or until somebody wakes who rests. */
import { Effect, Latch } from "effect"

/** On a clock, in milliseconds. */
export const make = (clock: Effect.Effect<number>) => {
  const woken = Latch.makeUnsafe(false)
  return {
    wake: (): void => void woken.openUnsafe(),
    /** Before each look: whatever changes from now on is looked at again. */
    begin: (): void => void woken.closeUnsafe(),
    /** Waits until then, or until somebody wakes: for so long at most. */
    rest: (until: number | undefined, longest: number): Effect.Effect<void> =>
      Effect.flatMap(clock, (now) => {
        const wait = Math.min((until ?? Number.POSITIVE_INFINITY) - now, longest)
        return wait <= 0 ? Effect.void : Effect.asVoid(Effect.timeoutOption(woken.await, wait))
      })
  }
}
