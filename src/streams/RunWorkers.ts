/** Topic workers in a program of one's own: they run until it is interrupted, and then finish what they have begun. */
import { type Duration, Effect, Fiber, Layer, Stream } from "effect"
import type { Broker } from "../domain/ports/Broker.ts"
import { deadLetterTopicsOf } from "../domain/Subscriptions.ts"
import { Shutdown } from "./Shutdown.ts"
import { Supervisor } from "./Supervisor.ts"
import { DeadLetterTopics, topicWorker } from "./TopicWorker.ts"
import type { Any, Services } from "./Worker.ts"

export interface RunOptions {
  /** The longest wait for handlers that have begun, once interrupted; 30 seconds unless told. */
  readonly drain?: Duration.Input | undefined
}

/** What ends a worker: trying again would not help. */
type WorkerError = Stream.Error<ReturnType<typeof topicWorker>>

/**
 * Runs workers side by side, on the broker that is provided. Never ends by itself: interrupting it stops them gracefully.
 * Fails with what the broker refuses; anything else is tried again.
 */
export const run = <const Workers extends ReadonlyArray<Any>>(
  workers: Workers,
  { drain = "30 seconds" }: RunOptions = {}
): Effect.Effect<never, WorkerError, Broker | Services<Workers[number]>> =>
  Effect.gen(function* () {
    const shutdown = yield* Shutdown
    const all = Effect.forEach(workers, (worker) => Stream.runDrain(topicWorker(worker)), {
      concurrency: "unbounded",
      discard: true
    })
    // In a scope of their own: an interruption asks them to stop, and reaches them only when time is up.
    const running = yield* Effect.acquireRelease(Effect.forkDetach(Effect.interruptible(all)), (fiber) =>
      shutdown.request.pipe(
        Effect.andThen(Effect.timeoutOption(Fiber.await(fiber), drain)),
        Effect.andThen(Fiber.interrupt(fiber))
      )
    )
    yield* Fiber.join(running)
    return yield* Effect.never
  }).pipe(
    Effect.scoped,
    Effect.provideService(DeadLetterTopics, deadLetterTopicsOf(workers)),
    Effect.provide(Layer.fresh(Layer.merge(Shutdown.layer, Supervisor.layer)))
  )
