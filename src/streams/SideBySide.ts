/** Order within a key, side by side across keys, and never more than so many at the same time. */
import { Array as Arr, type Cause, Effect, Exit, type Fiber, FiberSet, Pull, Queue, Stream } from "effect"
import { successOf } from "./AtOnce.ts"
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
        const floor = { lanes: makeLanes(stages), worked }
        const takePlaces = makePlaces(floor, stages.work, yield* FiberSet.makeRuntime<R2>())
        // Pulled in this scope: the source stays open until what came from it is finished.
        yield* Effect.forkScoped(takeAll(yield* Stream.toPull(self), floor, takePlaces))
        const finish = (batch: Arr.NonEmptyReadonlyArray<Worked<A, B>>) =>
          Effect.map(stages.finish(Arr.map(batch, ({ result }) => result)), (finished) => {
            for (const { waiting } of batch) floor.lanes.finish(waiting)
            takePlaces()
            return finished
          })
        return Stream.fromQueue(worked).pipe(mapInBatches(stages.batches, finish))
      })
    )

/** What has come in, and what was worked on and is to be finished. */
interface Floor<A, B, E> {
  readonly lanes: Lanes<A>
  readonly worked: Queue.Queue<Worked<A, B>, E | Cause.Done>
}

const endWhenDone = <A, B, E>({ lanes, worked }: Floor<A, B, E>): void => {
  if (lanes.isDone()) Queue.endUnsafe(worked)
}

/** Has all work done that can be done now, in as many places as are free; to be asked again whenever that may be more. */
const makePlaces = <A, B, E, E2 extends E, R2>(
  floor: Floor<A, B, E>,
  work: (element: A) => Effect.Effect<B, E2, R2>,
  run: (work: Effect.Effect<void, E2, R2>) => Fiber.Fiber<void, E2>
) => {
  const { lanes, worked } = floor
  /** Passes on what has come of an element; gives the next, if there is one. */
  const leave = (waiting: Waiting<A>, result: B): Waiting<A> | undefined => {
    lanes.leave()
    Queue.offerUnsafe(worked, { waiting, result })
    endWhenDone(floor)
    return lanes.enter()
  }
  /** One after the other, for as long as there is one; what is done as soon as it is begun takes no step. */
  const workFrom = (first: Waiting<A>): Effect.Effect<void, E2, R2> => {
    let next: Waiting<A> | undefined = first
    while (next !== undefined) {
      const waiting = next
      const begun = work(waiting.element)
      const success = successOf(begun)
      if (success === undefined) {
        return Effect.flatMap(begun, (result) => {
          const next = leave(waiting, result)
          return next === undefined ? Effect.void : workFrom(next)
        })
      }
      next = leave(waiting, success.value)
    }
    return Effect.void
  }
  const takePlace = (first: Waiting<A>): void => {
    run(Effect.suspend(() => workFrom(first))).addObserver((exit) => {
      if (Exit.isFailure(exit)) Queue.failCauseUnsafe(worked, exit.cause)
    })
  }
  return (): void => {
    // A place works until it has to wait for something: only then is there anything left for the next one.
    for (let next = lanes.enter(); next !== undefined; next = lanes.enter()) takePlace(next)
  }
}

/** Takes all that comes from the source, and its end. */
const takeAll = <A, B, E, E1 extends E, R>(
  pull: Pull.Pull<Arr.NonEmptyReadonlyArray<A>, E1, void, R>,
  floor: Floor<A, B, E>,
  takePlaces: () => void
) => {
  const { lanes, worked } = floor
  const arrived = (elements: ReadonlyArray<A>): void => {
    elements.forEach(lanes.add)
    takePlaces()
  }
  const ended = (exit: Exit.Exit<void, E>): void => {
    lanes.close()
    if (Exit.isFailure(exit)) Queue.failCauseUnsafe(worked, exit.cause)
    endWhenDone(floor)
  }
  return pull.pipe(
    Effect.map(arrived),
    Effect.forever,
    Pull.catchDone(() => Effect.void),
    Effect.onExit((exit) => Effect.sync(() => ended(exit))),
    Effect.exit
  )
}

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

type Lanes<A> = ReturnType<typeof makeLanes<A>>

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
  let isClosed = false

  return {
    /** No more will come. */
    close: (): void => {
      isClosed = true
    },
    /** Nothing is left to work on, nor will be. */
    isDone: () => isClosed && unworked === 0,
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
