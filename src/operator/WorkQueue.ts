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

  const add = Effect.fnUntraced(function* (key: string) {
    if (taken.has(key)) {
      again.add(key)
      return
    }
    if (waiting.has(key)) return
    waiting.set(key, yield* Clock.currentTimeMillis)
    yield* Queue.offer(ready, key)
    yield* Metrics.added(waiting.size)
  })

  return {
    add,
    addAfter: (key, delay) => Effect.asVoid(FiberMap.run(later, key, Effect.andThen(Effect.sleep(delay), add(key)))),
    take: Effect.gen(function* () {
      const key = yield* Queue.take(ready)
      const since = waiting.get(key) ?? 0
      waiting.delete(key)
      taken.add(key)
      yield* Metrics.taken(waiting.size, (yield* Clock.currentTimeMillis) - since)
      return key
    }),
    done: (key) =>
      Effect.suspend(() => {
        taken.delete(key)
        return again.delete(key) ? add(key) : Effect.void
      })
  }
})
