/** Topic workers in a program of one's own: they run until it is interrupted, and then finish what they have begun. */
import { type Duration, Effect, Fiber, Layer, Stream } from "effect"
import type { Broker } from "../domain/ports/Broker.ts"
import type { StoreError } from "../domain/StoreError.ts"
import { deadLetterTopicsOf } from "../domain/Subscriptions.ts"
import { Shutdown, unlessStopped } from "./Shutdown.ts"
import { type Retryable, Supervisor, supervised } from "./Supervisor.ts"
import { DeadLetterTopics, subscribe, topicWorker } from "./TopicWorker.ts"
import type { Any, Services } from "./Worker.ts"
import { besideUpkeep } from "./WorkerStores.ts"

export interface RunOptions<E = never, R = never> {
  /** The longest wait for handlers that have begun, once interrupted; 30 seconds unless told. */
  readonly drain?: Duration.Input | undefined
  /** Run once all workers are subscribed, so that nothing it publishes goes past them; again, if that went wrong. */
  readonly onStart?: Effect.Effect<unknown, E, R> | undefined
}

/** Workers side by side, and `onStart` once all of them are subscribed, until somebody asks to stop. */
export const sideBySide = <E extends Retryable, R>(
  workers: ReadonlyArray<Any>,
  onStart: Effect.Effect<unknown, E, R>
) => {
  const start = Effect.andThen(Effect.forEach(workers, subscribe, { discard: true }), onStart)
  // It may go on for as long as it likes, and holds up nobody who asks to stop.
  const started = Stream.runDrain(supervised("onStart")(Stream.fromEffect(unlessStopped(start))))
  return Effect.all([...workers.map((worker) => Stream.runDrain(topicWorker(worker))), started], {
    concurrency: "unbounded",
    discard: true
  })
}

/** What ends a worker: trying again would not help. */
type WorkerError = Stream.Error<ReturnType<typeof topicWorker>> | StoreError

/**
 * Runs workers side by side, on the broker that is provided, and with the stores, if they are. Never ends by itself:
 * interrupting it stops them gracefully. Fails with what broker or database refuse; anything else is tried again.
 */
export const run = <const Workers extends ReadonlyArray<Any>, E extends Retryable = never, R = never>(
  workers: Workers,
  { drain = "30 seconds", onStart = Effect.void }: RunOptions<E, R> = {}
): Effect.Effect<never, WorkerError | E, Broker | Services<Workers[number]> | R> =>
  Effect.gen(function* () {
    const shutdown = yield* Shutdown
    const all = besideUpkeep(workers)(sideBySide(workers, onStart))
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
