/** Work on elements in batches that grow with the load, without making a lone element wait. */
import { type Array as Arr, Cause, Clock, Duration, Effect, Exit, Latch, Pull, Stream } from "effect"

export interface BatchOptions {
  readonly size: number
  /** How long a batch that is not full waits while nothing is being worked on; zero is not at all. */
  readonly window: Duration.Duration
  /** Batches worked on at the same time. */
  readonly concurrency: number
}

type Batch<A> = Arr.NonEmptyReadonlyArray<A>

/**
 * Results in the order of the batches. While a batch is worked on, the next leaves only when it is full: so batches are
 * as large as the load allows. When nothing is worked on, what is there leaves at once.
 */
export const mapInBatches =
  <A, B, E2, R2>(options: BatchOptions, work: (batch: Batch<A>) => Effect.Effect<B, E2, R2>) =>
  <E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<B, E | E2, R | R2> =>
    Stream.unwrap(
      Effect.gen(function* () {
        const gathering = gather<A, E>(options)
        // Pulled in this scope: the source stays open until the work on what came from it is finished.
        yield* Effect.forkScoped(gathering.fill(yield* Stream.toPull(self)))
        return Stream.fromPull(Effect.succeed(gathering.next)).pipe(
          Stream.mapEffect((batch) => Effect.ensuring(work(batch), gathering.finished), options)
        )
      })
    )

/** Elements that wait for their batch, and the batches that are worked on. */
const gather = <A, E>({ size, window }: BatchOptions) => {
  const windowMillis = Duration.toMillis(window)
  const changed = Latch.makeUnsafe(false)
  let waiting: Array<A> = []
  let waitingSince = 0
  let inFlight = 0
  let ended: Exit.Exit<void, E> | undefined

  const fill = <R>(pull: Pull.Pull<Batch<A>, E, void, R>) =>
    pull.pipe(
      Effect.flatMap((elements) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          if (waiting.length === 0) waitingSince = now
          for (const element of elements) waiting.push(element)
          changed.openUnsafe()
        })
      ),
      Effect.forever,
      Pull.catchDone(() => Effect.void),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          ended = exit
          // What came before a failure is not begun any more: its source can no longer be told that it is done.
          if (Exit.isFailure(exit)) waiting = []
          changed.openUnsafe()
        })
      ),
      Effect.exit
    )

  const take = (): readonly [Batch<A>] => {
    inFlight++
    return [waiting.splice(0, size) as unknown as Batch<A>]
  }

  const next: Effect.Effect<readonly [Batch<A>], E | Cause.Done> = Effect.gen(function* () {
    while (true) {
      // Closed before looking: a change while we look is not missed.
      changed.closeUnsafe()
      if (waiting.length >= size || (waiting.length > 0 && ended !== undefined)) return take()
      if (ended !== undefined) return yield* Exit.isSuccess(ended) ? Cause.done() : Effect.failCause(ended.cause)
      const mayLeave = waiting.length > 0 && inFlight === 0
      const leftMillis = waitingSince + windowMillis - (yield* Clock.currentTimeMillis)
      if (mayLeave && leftMillis <= 0) return take()
      yield* mayLeave ? Effect.timeoutOption(changed.await, leftMillis) : changed.await
    }
  })

  const finished = Effect.sync(() => {
    inFlight--
    changed.openUnsafe()
  })

  return { fill, next, finished }
}
