/** The end of a stream that has nothing more to do for now. */
import { type Array as Arr, Cause, type Duration, Effect, Option, type Pull, Stream } from "effect"

/**
 * Ends the stream when it gave nothing for `timeout` and `nothingWaits` says so; what cannot be told (it fails) is no
 * reason to end.
 */
export const untilIdle =
  <E2, R2>(timeout: Duration.Duration | undefined, nothingWaits: Effect.Effect<boolean, E2, R2>) =>
  <A, E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<A, E, R | R2> => {
    if (timeout === undefined) return self
    const mayEnd = Effect.orElseSucceed(nothingWaits, () => false)
    return Stream.transformPull(self, (pull) => {
      type Waiting = Pull.Pull<Arr.NonEmptyReadonlyArray<A>, E, void, R2>
      const within = (time: Duration.Input, otherwise: Waiting): Waiting =>
        Effect.flatMap(
          Effect.timeoutOption(pull, time),
          Option.match({ onSome: Effect.succeed, onNone: () => otherwise })
        )
      // A last look: what nobody waits for any more may have come to us while we asked.
      const endOrWait: Waiting = Effect.flatMap(mayEnd, (idle) =>
        idle ? within(0, Cause.done()) : Effect.suspend(() => wait)
      )
      const wait = within(timeout, endOrWait)
      return Effect.succeed(wait)
    })
  }
