/** Order within a key, side by side across keys, and never more than so many at the same time. */
import { type Array as Arr, type Cause, Effect, Exit, FiberSet, Pull, Queue, Stream } from "effect"
import { type BatchOptions, mapInBatches } from "./Batches.ts"

/** What is done with each element: worked on by itself, and finished together with others. */
export interface Stages<in A, in out B, out C, out E, out R> {
  /** Elements worked on at the same time; those that are being finished take no place. */
  readonly concurrency: number
  /** Of elements that have a key in common, the next is begun when the one before it is finished, in their order. */
  readonly keysOf: (element: A) => Iterable<string>
  readonly work: (element: A) => Effect.Effect<B, E, R>
  /** Of what was worked on at about the same time, so many together. */
  readonly batches: BatchOptions
  readonly finish: (worked: Arr.NonEmptyReadonlyArray<B>) => Effect.Effect<C, E, R>
}

/**
 * What finishing gives, by the array: work that ends at once costs no fiber of its own, and what follows it is paid once
 * for many. What waits for its key takes no place, so that a slow key holds up nobody else; the source bounds how many
 * wait. Work that fails, fails the stream; what was being finished then is interrupted. The source stays open until what
 * came from it is finished.
 */
export const mapSideBySide =
  <A, B, C, E2, R2>(stages: Stages<A, B, C, E2, R2>) =>
  <E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<C, E | E2, R | R2> =>
    Stream.unwrap(
      Effect.gen(function* () {
        const worked = yield* Queue.unbounded<Worked<A, B>, E | E2 | Cause.Done>()
        const pull = yield* Stream.toPull(self)
        const run = yield* FiberSet.makeRuntime<R2>()
        const lanes = makeLanes(stages)
        let hasEnded = false

        const fail = (cause: Cause.Cause<E | E2>) => Queue.failCauseUnsafe(worked, cause)
        const endWhenDone = () => {
          if (hasEnded && lanes.isEmpty()) Queue.endUnsafe(worked)
        }
        /** Works on one after the other, for as long as there is one. */
        const workFrom = (waiting: Waiting<A>): Effect.Effect<void, E2, R2> =>
          Effect.flatMap(stages.work(waiting.element), (result) => {
            lanes.leave()
            Queue.offerUnsafe(worked, { waiting, result })
            endWhenDone()
            const next = lanes.enter()
            return next === undefined ? Effect.void : workFrom(next)
          })
        // Runs until it has to wait for something: only then is there anything left for another place.
        const takePlaces = () => {
          for (let next = lanes.enter(); next !== undefined; next = lanes.enter()) {
            const first = next
            run(Effect.suspend(() => workFrom(first))).addObserver((exit) => {
              if (Exit.isFailure(exit)) fail(exit.cause)
            })
          }
        }
        const finish = (batch: Arr.NonEmptyReadonlyArray<Worked<A, B>>) =>
          Effect.map(stages.finish(batch.map(({ result }) => result) as [B, ...Array<B>]), (finished) => {
            for (const { waiting } of batch) lanes.finish(waiting)
            takePlaces()
            return finished
          })

        const takeAll = pull.pipe(
          Effect.tap((elements) =>
            Effect.sync(() => {
              elements.forEach(lanes.add)
              takePlaces()
            })
          ),
          Effect.forever,
          Pull.catchDone(() => Effect.void),
          Effect.onExit((exit) =>
            Effect.sync(() => {
              hasEnded = true
              if (Exit.isFailure(exit)) fail(exit.cause)
              endWhenDone()
            })
          ),
          Effect.exit
        )
        yield* Effect.forkScoped(takeAll)
        return Stream.fromQueue(worked).pipe(mapInBatches(stages.batches, finish))
      })
    )

/** An element, and how many of its keys others have, or will have before it. */
interface Waiting<A> {
  readonly element: A
  readonly keys: Iterable<string>
  keysTaken: number
}

/** What has come of an element. */
interface Worked<A, B> {
  readonly waiting: Waiting<A>
  readonly result: B
}

/** Elements that wait for their keys, or for a place; a key is here as long as one of its elements is. */
const makeLanes = <A>({
  concurrency,
  keysOf
}: Pick<Stages<A, unknown, unknown, unknown, unknown>, "concurrency" | "keysOf">) => {
  const behind = new Map<string, Array<Waiting<A>>>()
  const ready: Array<Waiting<A>> = []
  let places = concurrency
  /** Not worked on yet, or at work. */
  let unworked = 0

  return {
    isEmpty: () => unworked === 0,
    add: (element: A): void => {
      const waiting = { element, keys: keysOf(element), keysTaken: 0 }
      for (const key of waiting.keys) {
        const lane = behind.get(key)
        if (lane === undefined) behind.set(key, [])
        else {
          lane.push(waiting)
          waiting.keysTaken++
        }
      }
      unworked++
      if (waiting.keysTaken === 0) ready.push(waiting)
    },
    /** The next to work on, if there is one and a place for it. */
    enter: (): Waiting<A> | undefined => {
      if (places === 0 || ready.length === 0) return undefined
      places--
      return ready.shift()
    },
    /** The place is free; the keys are not. */
    leave: (): void => {
      places++
      unworked--
    },
    finish: ({ keys }: Waiting<A>): void => {
      for (const key of keys) {
        const next = behind.get(key)?.shift()
        if (next === undefined) behind.delete(key)
        else if (--next.keysTaken === 0) ready.push(next)
      }
    }
  }
}
