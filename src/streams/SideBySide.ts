/** Order within a key, side by side across keys, and never more than so many at the same time. */
import { type Cause, Effect, Exit, FiberSet, Pull, Queue, Stream } from "effect"

export interface LaneOptions<in A> {
  /** Elements worked on at the same time. */
  readonly concurrency: number
  /** Elements of one key are worked on one after the other, in the order in which they come. */
  readonly keyOf: (element: A) => string | undefined
}

/**
 * Results as they come, those that come at about the same time in one array: a stage after this one that works on arrays
 * pays once for many. What waits for its key takes no place, so that a slow key holds up nobody else; the source bounds
 * how many wait. Work may give its place up before it ends, to wait for something without it; its key it keeps. Work
 * that fails, fails the stream, after the results that were there before. The source stays open until what came from it
 * is dealt with downstream.
 */
export const mapSideBySide =
  <A, B, E2, R2>(options: LaneOptions<A>, work: (element: A, giveUpPlace: () => void) => Effect.Effect<B, E2, R2>) =>
  <E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<B, E | E2, R | R2> =>
    Stream.unwrap(
      Effect.gen(function* () {
        const results = yield* Queue.unbounded<B, E | E2 | Cause.Done>()
        const pull = yield* Stream.toPull(self)
        const run = yield* FiberSet.makeRuntime<R2>()
        const lanes = makeLanes(options)
        let hasEnded = false
        let isBeginning = false

        const endWhenDone = () => {
          if (hasEnded && lanes.isEmpty()) Queue.endUnsafe(results)
        }
        const begin = (place: Place<A>) => {
          const giveUpPlace = () => {
            lanes.giveUp(place)
            beginAll()
          }
          // Observed from outside: a step within the fiber would cost each element more.
          run(Effect.suspend(() => work(place.element, giveUpPlace))).addObserver((exit) => {
            if (Exit.isSuccess(exit)) Queue.offerUnsafe(results, exit.value)
            else Queue.failCauseUnsafe(results, exit.cause)
            lanes.leave(place)
            beginAll()
            endWhenDone()
          })
        }
        // What waits does so without a fiber: thousands of them would cost more than the work.
        const beginAll = () => {
          // Work that ends at once makes room in the midst of this: the loop goes on, instead of one within the other.
          if (isBeginning) return
          isBeginning = true
          for (let next = lanes.enter(); next !== undefined; next = lanes.enter()) begin(next)
          isBeginning = false
        }

        const takeAll = pull.pipe(
          Effect.tap((elements) =>
            Effect.sync(() => {
              elements.forEach(lanes.add)
              beginAll()
            })
          ),
          Effect.forever,
          Pull.catchDone(() => Effect.void),
          Effect.onExit((exit) =>
            Effect.sync(() => {
              hasEnded = true
              if (Exit.isFailure(exit)) Queue.failCauseUnsafe(results, exit.cause)
              endWhenDone()
            })
          ),
          Effect.exit
        )
        yield* Effect.forkScoped(takeAll)
        return Stream.fromQueue(results)
      })
    )

/** Of an element that is worked on. */
interface Place<A> {
  readonly element: A
  isGivenUp: boolean
}

/** Elements that wait for their key, or for a place; a key is here as long as one of its elements is. */
const makeLanes = <A>({ concurrency, keyOf }: LaneOptions<A>) => {
  const behind = new Map<string, Array<A>>()
  const ready: Array<A> = []
  let taken = 0
  let unfinished = 0

  const giveUp = (place: Place<A>): void => {
    if (place.isGivenUp) return
    place.isGivenUp = true
    taken--
  }
  return {
    isEmpty: () => unfinished === 0,
    add: (element: A): void => {
      unfinished++
      const key = keyOf(element)
      const lane = key === undefined ? undefined : behind.get(key)
      if (lane !== undefined) return void lane.push(element)
      if (key !== undefined) behind.set(key, [])
      ready.push(element)
    },
    /** The next to work on, if there is one and a place for it. */
    enter: (): Place<A> | undefined => {
      if (taken === concurrency || ready.length === 0) return undefined
      taken++
      return { element: ready.shift() as A, isGivenUp: false }
    },
    /** Others may enter; the key goes on waiting. */
    giveUp,
    leave: (place: Place<A>): void => {
      giveUp(place)
      unfinished--
      const key = keyOf(place.element)
      if (key === undefined) return
      const lane = behind.get(key) ?? []
      if (lane.length === 0) behind.delete(key)
      else ready.push(lane.shift() as A)
    }
  }
}
