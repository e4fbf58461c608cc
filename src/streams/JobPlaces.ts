/** Places for runs in a process: so many, for those that go on and for those that are just being taken. */
import { Deferred, Effect, Exit } from "effect"
import type { HeldRun } from "../domain/JobRun.ts"

/** All of them free. */
export const make = <Entry extends { readonly run: HeldRun }>(most: number) => {
  const running = new Map<bigint, Entry>()
  let kept = 0
  let idle: Deferred.Deferred<void> | undefined
  return {
    running,
    free: () => Math.max(0, most - running.size - kept),
    add: (entry: Entry): void => {
      running.set(entry.run.fencingToken, entry)
    },
    remove: ({ run }: Entry): void => {
      running.delete(run.fencingToken)
      if (running.size === 0 && idle !== undefined) Deferred.doneUnsafe(idle, Exit.void)
    },
    /** Keeps so many places free for those who come meanwhile; each says how many of them come. */
    keeping: <A, E, R>(count: number, use: (come: (coming: number) => void) => Effect.Effect<A, E, R>) =>
      Effect.suspend(() => {
        let left = count
        kept += count
        const come = (coming: number): void => {
          left -= coming
          kept -= coming
        }
        return Effect.ensuring(
          use(come),
          Effect.sync(() => come(left))
        )
      }),
    /** Waits until nobody has a place. */
    allEnded: Effect.gen(function* () {
      if (running.size === 0) return
      idle ??= yield* Deferred.make<void>()
      yield* Deferred.await(idle)
    })
  }
}
