/** Many callers, each of whom waits for its own element, and one that works on what they bring together. */
import { Cause, Clock, Duration, Effect, Exit, Queue, Schema, type Scope, Stream } from "effect"
import { type BatchOptions, mapInBatches } from "./Batches.ts"

/** The batch of an element has taken longer than its caller waits. It may be done yet. */
export class Late extends Schema.TaggedError<Late>()("Late", {}) {}

export interface Batcher<in A, out E> {
  /** Succeeds or fails as the batch does that its element is in; whoever is interrupted while it waits takes it back. */
  readonly add: (element: A) => Effect.Effect<void, E | Late>
}

export interface BatcherOptions<in A, in out E, out R> extends BatchOptions {
  readonly work: (batch: ReadonlyArray<A>) => Effect.Effect<unknown, E, R>
  /** Whether an error is one element's fault: then the batch is worked on again one by one, so that it is that one's. */
  readonly blamesOne: (error: E) => boolean
  /** Who waits longer, for a batch and until it is done, goes on without: `Late`. */
  readonly patience: Duration.Duration
}

/** Where somebody waits; nothing is known of it but which one it is. */
type Place = object

interface Waiting<A, E> {
  readonly element: A
  readonly resume: (exit: Exit.Exit<void, E | Late>) => void
  readonly lateAtMillis: number
}

/**
 * Works in batches, in the order in which elements are added: what is added while a batch is worked on makes the next.
 * A batch that fails is its own callers' failure alone. Ends with its scope, and who waits then is interrupted.
 */
export const make = Effect.fnUntraced(function* <A, E, R>(
  options: BatcherOptions<A, E, R>
): Effect.fn.Return<Batcher<A, E>, never, R | Scope.Scope> {
  // Places alone are queued: of what is taken back nothing else stays, however long the work before it takes.
  const added = yield* Queue.unbounded<Place>()
  const waiting = new Map<Place, Waiting<A, E>>()
  const clock = yield* Clock.Clock
  const patienceMillis = Duration.toMillis(options.patience)
  let isClosed = false

  const endOne = (place: Place, exit: Exit.Exit<void, E | Late>): void => {
    const one = waiting.get(place)
    if (waiting.delete(place)) one?.resume(exit)
  }
  const end = (batch: Iterable<Place>, exit: Exit.Exit<void, E>) =>
    Effect.sync(() => {
      for (const place of batch) endOne(place, exit)
    })
  const workOn = (all: ReadonlyArray<Place>): Effect.Effect<void, never, R> => {
    const batch: Array<Place> = []
    const elements: Array<A> = []
    for (const place of all) {
      const one = waiting.get(place)
      if (one === undefined) continue
      batch.push(place)
      elements.push(one.element)
    }
    if (batch.length === 0) return Effect.void
    return Effect.suspend(() => options.work(elements)).pipe(
      Effect.exit,
      Effect.flatMap((exit) =>
        batch.length > 1 && blamesOne(exit)
          ? Effect.forEach(batch, (place) => workOn([place]), { discard: true })
          : end(batch, Exit.asVoid(exit))
      )
    )
  }
  const blamesOne = (exit: Exit.Exit<unknown, E>) =>
    Exit.isFailure(exit) &&
    exit.cause.reasons.some((reason) => Cause.isFailReason(reason) && options.blamesOne(reason.error))

  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      isClosed = true
      return end(waiting.keys(), Exit.interrupt())
    })
  )
  // All have the same patience: the first that came loses it first, and one clock serves them all.
  const endTheLate = Effect.suspend(() => {
    const now = clock.currentTimeMillisUnsafe()
    for (const [place, { lateAtMillis }] of waiting) {
      if (lateAtMillis > now) return Effect.sleep(lateAtMillis - now)
      endOne(place, Exit.fail(new Late()))
    }
    return Effect.sleep(patienceMillis)
  })

  yield* Effect.forkScoped(Effect.forever(endTheLate))
  yield* Stream.fromQueue(added).pipe(mapInBatches(options, workOn), Stream.runDrain, Effect.forkScoped)

  return {
    add: (element) =>
      Effect.callback((resume) => {
        if (isClosed) return resume(Effect.interrupt)
        const place: Place = {}
        waiting.set(place, { element, resume, lateAtMillis: clock.currentTimeMillisUnsafe() + patienceMillis })
        Queue.offerUnsafe(added, place)
        return Effect.sync(() => void waiting.delete(place))
      })
  }
})
