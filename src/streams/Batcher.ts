/** Many callers, each of whom waits for its own element, and one that works on what they bring together. */
import { Cause, Effect, Exit, Queue, type Scope, Stream } from "effect"
import { type BatchOptions, mapInBatches } from "./Batches.ts"

export interface Batcher<in A, out E> {
  /** Succeeds or fails as the batch does that its element is in; whoever is interrupted while it waits takes it back. */
  readonly add: (element: A) => Effect.Effect<void, E>
}

export interface BatcherOptions<in A, in out E, out R> extends BatchOptions {
  readonly work: (batch: ReadonlyArray<A>) => Effect.Effect<unknown, E, R>
  /** Whether an error is one element's fault: then the batch is worked on again one by one, so that it is that one's. */
  readonly blamesOne: (error: E) => boolean
}

interface Waiting<A, E> {
  readonly element: A
  readonly resume: (exit: Exit.Exit<void, E>) => void
}

/**
 * Works in batches, in the order in which elements are added: what is added while a batch is worked on makes the next.
 * A batch that fails is its own callers' failure alone. Ends with its scope, and who waits then is interrupted.
 */
export const make = Effect.fnUntraced(function* <A, E, R>(
  options: BatcherOptions<A, E, R>
): Effect.fn.Return<Batcher<A, E>, never, R | Scope.Scope> {
  const added = yield* Queue.unbounded<Waiting<A, E>>()
  const waiting = new Set<Waiting<A, E>>()
  let isClosed = false

  const end = (batch: Iterable<Waiting<A, E>>, exit: Exit.Exit<void, E>) =>
    Effect.sync(() => {
      for (const one of batch) if (waiting.delete(one)) one.resume(exit)
    })
  const workOn = (all: ReadonlyArray<Waiting<A, E>>): Effect.Effect<void, never, R> => {
    const batch = all.filter((one) => waiting.has(one))
    if (batch.length === 0) return Effect.void
    return Effect.suspend(() => options.work(batch.map(({ element }) => element))).pipe(
      Effect.exit,
      Effect.flatMap((exit) =>
        batch.length > 1 && blamesOne(exit)
          ? Effect.forEach(batch, (one) => workOn([one]), { discard: true })
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
      return end(waiting, Exit.interrupt())
    })
  )
  yield* Stream.fromQueue(added).pipe(mapInBatches(options, workOn), Stream.runDrain, Effect.forkScoped)

  return {
    add: (element) =>
      Effect.callback((resume) => {
        if (isClosed) return resume(Effect.interrupt)
        const one: Waiting<A, E> = { element, resume }
        waiting.add(one)
        Queue.offerUnsafe(added, one)
        return Effect.sync(() => void waiting.delete(one))
      })
  }
})
