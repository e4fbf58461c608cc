/** The wish to stop: one latch that every stream watches. What is in flight is finished; nothing new is taken. */
import { Cause, Context, Effect, Fiber, Latch, Layer, Stream } from "effect"

export class Shutdown extends Context.Service<
  Shutdown,
  {
    /** Succeeds once stopping was asked for. */
    readonly requested: Effect.Effect<void>
    readonly isRequested: Effect.Effect<boolean>
    /** The same, for what takes no step of a fiber. */
    readonly isRequestedUnsafe: () => boolean
    readonly request: Effect.Effect<void>
  }
>()("paystream/streams/Shutdown") {
  static readonly layer = Layer.effect(
    Shutdown,
    Effect.map(Latch.make(false), (latch) => ({
      requested: latch.await,
      isRequested: Effect.sync(() => Latch.isOpen(latch)),
      isRequestedUnsafe: () => Latch.isOpen(latch),
      request: Effect.asVoid(latch.open)
    }))
  )
}

/**
 * Ends the stream when stopping is asked for, between two pulls or in the midst of waiting for one; the source stays
 * open until what was taken from it is finished, so that it can still be settled.
 */
export const untilShutdown = <A, E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<A, E, R | Shutdown> =>
  Stream.unwrap(
    Effect.map(Shutdown, ({ isRequestedUnsafe, requested }) =>
      Stream.transformPull(self, (pull, scope) => {
        let pulling: Fiber.Fiber<unknown, unknown> | undefined
        const begun = Effect.withFiber((fiber) => {
          pulling = fiber
          return pull
        })
        const pulled = Effect.forkChild(begun, { startImmediately: true }).pipe(
          Effect.flatMap((fiber) => Effect.onInterrupt(Fiber.join(fiber), () => Fiber.interrupt(fiber))),
          Effect.catchCauseIf(
            (cause) => isRequestedUnsafe() && Cause.hasInterruptsOnly(cause),
            () => Cause.done()
          )
        )
        const givenUp = Effect.suspend(() => (pulling === undefined ? Effect.void : Fiber.interrupt(pulling)))
        // one for all pulls: a race for each of them would cost more than most pulls do
        const watch = Effect.forkIn(Effect.andThen(requested, givenUp), scope, { startImmediately: true })
        return Effect.as(
          watch,
          Effect.suspend(() => (isRequestedUnsafe() ? Cause.done() : pulled))
        )
      })
    )
  )

/** Gives up what is still being made ready, or has nothing in hand, when stopping is asked for: `undefined` then. */
export const unlessStopped = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A | undefined, E, R | Shutdown> =>
  Effect.flatMap(Shutdown, ({ requested }) => Effect.raceFirst(self, Effect.as(requested, undefined)))
