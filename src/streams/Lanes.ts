/** Order within a key, side by side across keys, and never more than so many at the same time. */
import { Effect, Semaphore } from "effect"

interface Lane {
  readonly turn: Semaphore.Semaphore
  waiting: number
}

export interface Lanes {
  /** Runs the work when those before it with the same key are done and a place is free. */
  readonly run: <A, E, R>(key: string | undefined, work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** Work that waits for its key takes no place: a slow key holds up nobody else. */
export const make = (concurrency: number): Lanes => {
  const places = Semaphore.makeUnsafe(concurrency)
  const lanes = new Map<string, Lane>()

  const enter = (key: string) => {
    const lane = lanes.get(key) ?? { turn: Semaphore.makeUnsafe(1), waiting: 0 }
    lane.waiting++
    lanes.set(key, lane)
    return lane
  }
  const leave = (key: string, lane: Lane) => {
    if (--lane.waiting === 0) lanes.delete(key)
  }

  return {
    run: (key, work) => {
      const placed = Semaphore.withPermits(places, 1)(work)
      if (key === undefined) return placed
      return Effect.acquireUseRelease(
        Effect.sync(() => enter(key)),
        (lane) => Semaphore.withPermits(lane.turn, 1)(placed),
        (lane) => Effect.sync(() => leave(key, lane))
      )
    }
  }
}
