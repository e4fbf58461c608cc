/**
 * How a process takes part in a run: it claims a share, settles what it has claimed, claims more while there is more,
 * and waits while others hold the rest: a process that ends before the run is done would not be there to take over.
 */
import { Array as Arr, Cause, Duration, Effect, Latch, type Pull, Stream } from "effect"
import { type RunMismatch, WorkerRuns } from "../domain/ports/WorkerRuns.ts"
import type { StoreError } from "../domain/StoreError.ts"
import type { RunShare } from "../domain/WorkerRun.ts"
import { Shutdown } from "./Shutdown.ts"
import { untilStopped } from "./UntilStopped.ts"

/** How long who has nothing left waits before it asks whether others have left something. */
const patience = "1 second"

/** For each turn how many messages it may settle; ends when the run is done, or when asked to stop. */
export const turnsOf = (share: RunShare): Stream.Stream<number, StoreError | RunMismatch, WorkerRuns | Shutdown> => {
  const next: Effect.Effect<readonly [number], StoreError | RunMismatch | Cause.Done, WorkerRuns | Shutdown> =
    Effect.gen(function* () {
      const runs = yield* WorkerRuns
      const shutdown = yield* Shutdown
      while (!(yield* shutdown.isRequested)) {
        const { isDone, left } = yield* runs.claim(share)
        if (isDone) return yield* Cause.done()
        if (left > 0) return [left]
        yield* Effect.timeoutOption(shutdown.requested, patience)
      }
      return yield* Cause.done()
    })
  return Stream.fromPull(
    Effect.map(Effect.context<WorkerRuns | Shutdown>(), (context) => Effect.provideContext(next, context))
  )
}

/** Renewals are lost now and then: two of them may be before the lease ends. */
const renewalsPerLease = 3

/** Keeps the lease while the scope is open, and opens the latch when it hears that the run is done. */
const keepLease = Effect.fnUntraced(function* (share: RunShare, done: Latch.Latch) {
  const runs = yield* WorkerRuns
  const renew = Effect.flatMap(runs.renew(share), ({ isDone }) => (isDone ? Latch.open(done) : Effect.void))
  const interval = Duration.divideUnsafe(share.lease, renewalsPerLease)
  yield* Effect.forkScoped(Effect.forever(Effect.delay(Effect.ignore(renew), interval)))
})

/** What a turn begins with, and whether something had to be given back: then the share is another's. */
interface TurnOptions {
  readonly left: number
  readonly isLost: () => boolean
}

/**
 * No more elements than the share has room for: claims more before it asks for more, and ends when nothing is to be had,
 * the share is lost, or the run is done.
 */
export const withinShare =
  <A>(share: RunShare, { isLost, left }: TurnOptions) =>
  <E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<A, E | StoreError | RunMismatch, R | WorkerRuns | Shutdown> =>
    Stream.unwrap(
      Effect.gen(function* () {
        const runs = yield* WorkerRuns
        const done = yield* Latch.make(false)
        yield* keepLease(share, done)
        const isDone = Effect.andThen(done.await, Cause.done())
        let allowed = left
        let held: ReadonlyArray<A> = []
        const more = Effect.flatMap(untilStopped(runs.claim(share)), (claimed) => {
          allowed = claimed?.fresh ?? 0
          return allowed > 0 ? Effect.void : Cause.done()
        })
        const turn = (pull: Pull.Pull<Arr.NonEmptyReadonlyArray<A>, E, void, R>) =>
          Effect.gen(function* () {
            if (allowed <= 0) yield* more
            if (!Arr.isReadonlyArrayNonEmpty(held)) held = yield* Effect.raceFirst(isDone, pull)
            if (isLost()) return yield* Cause.done()
            const taken = held.slice(0, allowed)
            held = held.slice(taken.length)
            allowed -= taken.length
            return taken as unknown as Arr.NonEmptyReadonlyArray<A>
          })
        return Stream.transformPull(self, (pull) => Effect.succeed(turn(pull)))
      })
    )
