/** Many callers, each of whom waits for its own element, and one that works on what they bring together. */
import { Cause, Clock, Duration, Effect, Exit, Latch, Schema, type Scope } from "effect"

/** The batch of an element has taken longer than its caller waits. It may be done yet. */
export class Late extends Schema.TaggedError<Late>()("Late", {}) {}

export interface Batcher<in A, out E> {
  /** Succeeds or fails as the batch does that its element is in; whoever is interrupted while it waits takes it back. */
  readonly add: (element: A) => Effect.Effect<void, E | Late>
}

export interface BatcherOptions<in A, in out E, out R> {
  readonly size: number
  /** Batches worked on at the same time, whole ones. */
  readonly concurrency: number
  /** How many of them may be partial: one where gathering saves work, more where it only makes elements wait. */
  readonly partial: number
  readonly work: (batch: ReadonlyArray<A>) => Effect.Effect<unknown, E, R>
  /** Whether an error is one element's fault: then the batch is worked on again one by one, so that it is that one's. */
  readonly blamesOne: (error: E) => boolean
  /** Who waits longer, for a batch and until it is done, goes on without: `Late`. */
  readonly patience: Duration.Duration
}

interface Waiting<A, E> {
  readonly element: A
  readonly resume: (exit: Exit.Exit<void, E | Late>) => void
  readonly lateAtMillis: number
}

/**
 * Works in batches, in the order in which elements are added: what is added while no more batches may be worked on makes
 * the next. A batch that fails is its own callers' failure alone. Ends with its scope, and who waits then is interrupted.
 */
export const make = Effect.fnUntraced(function* <A, E, R>(
  options: BatcherOptions<A, E, R>
): Effect.fn.Return<Batcher<A, E>, never, R | Scope.Scope> {
  type Place = Waiting<A, E>
  const waiting = new Set<Place>()
  // Of those who wait, whose batch has not begun.
  const added = new Set<Place>()
  const changed = Latch.makeUnsafe(false)
  const clock = yield* Clock.Clock
  const patienceMillis = Duration.toMillis(options.patience)
  let inFlight = 0
  let isClosed = false

  const end = (batch: Iterable<Place>, exit: Exit.Exit<void, E | Late>): void => {
    for (const place of batch) {
      added.delete(place)
      if (waiting.delete(place)) place.resume(exit)
    }
  }
  const workOn = (all: ReadonlyArray<Place>): Effect.Effect<void, never, R> => {
    const batch = all.filter((place) => waiting.has(place))
    if (batch.length === 0) return Effect.void
    return Effect.suspend(() => options.work(batch.map(({ element }) => element))).pipe(
      Effect.exit,
      Effect.flatMap((exit) =>
        batch.length > 1 && blamesOne(exit)
          ? Effect.forEach(batch, (place) => workOn([place]), { discard: true })
          : Effect.sync(() => end(batch, Exit.asVoid(exit)))
      )
    )
  }
  const blamesOne = (exit: Exit.Exit<unknown, E>) =>
    Exit.isFailure(exit) &&
    exit.cause.reasons.some((reason) => Cause.isFailReason(reason) && options.blamesOne(reason.error))

  const mayLeave = (): boolean => inFlight < (added.size < options.size ? options.partial : options.concurrency)
  const finished = Effect.sync(() => {
    inFlight--
    changed.openUnsafe()
  })
  const leave = Effect.suspend(() => {
    changed.closeUnsafe()
    const batches: Array<ReadonlyArray<Place>> = []
    while (added.size > 0 && mayLeave()) {
      inFlight++
      const batch = [...added.values().take(options.size)]
      for (const place of batch) added.delete(place)
      batches.push(batch)
    }
    return Effect.forEach(batches, begin, { discard: true })
  })
  const begin = (batch: ReadonlyArray<Place>) =>
    Effect.forkScoped(Effect.ensuring(workOn(batch), finished), { startImmediately: true })

  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isClosed = true
      end(waiting, Exit.interrupt())
    })
  )
  // All have the same patience: the first that came loses it first, and one clock serves them all.
  const endTheLate = Effect.suspend(() => {
    const now = clock.currentTimeMillisUnsafe()
    for (const place of waiting) {
      if (place.lateAtMillis > now) return Effect.sleep(place.lateAtMillis - now)
      end([place], Exit.fail(new Late()))
    }
    return Effect.sleep(patienceMillis)
  })

  // What is added in one turn leaves together.
  const leaving = changed.await.pipe(Effect.andThen(Effect.yieldNow), Effect.andThen(leave))
  yield* Effect.forkScoped(Effect.forever(endTheLate))
  yield* Effect.forkScoped(Effect.forever(leaving, { disableYield: true }))

  return {
    add: (element) =>
      Effect.callback((resume) => {
        if (isClosed) return resume(Effect.interrupt)
        const place: Place = { element, resume, lateAtMillis: clock.currentTimeMillisUnsafe() + patienceMillis }
        waiting.add(place)
        added.add(place)
        changed.openUnsafe()
        return Effect.sync(() => {
          waiting.delete(place)
          added.delete(place)
        })
      })
  }
})
