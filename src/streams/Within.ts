/** An end to waiting, also for what cannot be interrupted at once. */
import { type Duration, Effect, Exit } from "effect"

/**
 * Does something else when `effect` takes too long. It is interrupted then, but nobody waits until it has ended: a call
 * to a service that has frozen may take its time to notice.
 */
export const within =
  <A2, E2, R2>(duration: Duration.Input, orElse: () => Effect.Effect<A2, E2, R2>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A | A2, E | E2, R | R2> =>
    Effect.flatMap(Effect.forkDetach(effect, { startImmediately: true }), (fiber) => {
      const done = fiber.pollUnsafe()
      if (done !== undefined) return done
      return Effect.flatMap(Effect.forkDetach(Effect.sleep(duration), { startImmediately: true }), (clock) =>
        // By observers: a race of two would take two more fibers.
        Effect.callback((resume) => {
          const abandon = () => {
            fiber.interruptUnsafe()
            clock.interruptUnsafe()
          }
          fiber.addObserver((exit) => {
            clock.interruptUnsafe()
            resume(exit)
          })
          clock.addObserver((exit) => {
            if (Exit.isFailure(exit)) return
            resume(Effect.suspend(orElse))
            fiber.interruptUnsafe()
          })
          return Effect.sync(abandon)
        })
      )
    })
