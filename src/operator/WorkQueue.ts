/**
 * Keys that want to be looked at.
 *
 * ## Guarantees
 * - A key is given to one taker at a time; added meanwhile, however often, it is given once more after.
 * - A key that waits is given once, however often it was added.
 */
import { Clock, type Duration, Effect, FiberMap, Queue, type Scope } from "effect"
import * as Metrics from "./OperatorMetrics.ts"

export interface WorkQueue {
  readonly add: (key: string) => Effect.Effect<void>
  /** Adds it after a while; an earlier wish of that sort is forgotten. */
  readonly addAfter: (key: string, delay: Duration.Input) => Effect.Effect<void>
  /** The next key; whoever takes it says when it is done. */
  readonly take: Effect.Effect<string>
  readonly done: (key: string) => Effect.Effect<void>
}

/** Nothing in it; what was to be added later is forgotten with the scope. */
export const make: Effect.Effect<WorkQueue, never, Scope.Scope> = Effect.gen(function* () {
  const ready = yield* Queue.unbounded<string>()
  const later = yield* FiberMap.make<string>()
  /** Since when each waits, in milliseconds. */
  const waiting = new Map<string, number>()
  const taken = new Set<string>()
  const again = new Set<string>()

  // each change in one go: a fiber may have to yield between any two steps of its own
  const wants = (key: string, millis: number): boolean => {
    if (taken.has(key)) again.add(key)
    if (taken.has(key) || waiting.has(key)) return false
    waiting.set(key, millis)
    return Queue.offerUnsafe(ready, key)
  }
  const add = (key: string): Effect.Effect<void> =>
    Clock.clockWith((clock) =>
      wants(key, clock.currentTimeMillisUnsafe()) ? Metrics.added(waiting.size) : Effect.void
    )
  const give = (key: string): number => {
    const since = waiting.get(key) ?? 0
    waiting.delete(key)
    taken.add(key)
    return since
  }

  return {
    add,
    addAfter: (key, delay) => Effect.asVoid(FiberMap.run(later, key, Effect.andThen(Effect.sleep(delay), add(key)))),
    take: Effect.flatMap(Queue.take(ready), (key) =>
      Clock.clockWith((clock) => {
        const since = give(key)
        return Effect.as(Metrics.taken(waiting.size, clock.currentTimeMillisUnsafe() - since), key)
      })
    ),
    done: (key) =>
      Effect.suspend(() => {
        taken.delete(key)
        return again.delete(key) ? add(key) : Effect.void
      })
  }
})
