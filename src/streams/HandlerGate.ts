/**
 * Who may work at the same time in this process: everybody side by side, or one alone. Costs a counter while nobody
 * wants to be alone.
 *
 * ## Guarantees
 * - While one is alone, nobody else is inside; one at a time wants to be.
 * - Nobody waits for longer than the patience: who does not get alone by then works beside the others, and who is alone
 *   for longer lets them in.
 */
import { Clock, Duration, Effect, Exit, Latch, Option, Scope, Semaphore } from "effect"
import { atOnce } from "./AtOnce.ts"

/** What one who asked to be alone has got. */
export interface Turn {
  readonly isAlone: boolean
  /** Lets the others in before the work is over. */
  readonly letOthersIn: Effect.Effect<void>
}

export interface HandlerGate {
  /** Begins work here and now, unless somebody is alone: nobody could ask to be while it is begun. */
  readonly beside: <A, E, R>(work: () => Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly alone: <A, E, R>(
    patience: Duration.Duration,
    work: (turn: Turn) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
}

/** After it was waited for in vain, nobody waits again for so many times as long: work goes on meanwhile. */
const pauseInPatiences = 10

/** Who is inside, and whether others may come in. */
const makeDoor = () => {
  const open = Latch.makeUnsafe(true)
  const empty = Latch.makeUnsafe(true)
  let isOpen = true
  let inside = 0
  const enter = (): void => {
    if (inside++ === 0) empty.closeUnsafe()
  }
  const leave = Effect.sync(() => {
    if (--inside === 0) empty.openUnsafe()
  })
  const through = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      let hasEntered = false
      const pass: typeof work = Effect.suspend(() => {
        if (!isOpen) return Effect.andThen(open.await, pass)
        hasEntered = true
        enter()
        return work
      })
      return Effect.onExit(pass, () => (hasEntered ? leave : Effect.void))
    })
  return {
    isEmpty: () => inside === 0,
    empty: empty.await,
    enter,
    leave,
    beside: <A, E, R>(work: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
      if (!isOpen) return through(Effect.suspend(work))
      const begun = atOnce(work)
      return Exit.isExit(begun) ? begun : through(begun)
    },
    close: (): void => {
      isOpen = false
      open.closeUnsafe()
    },
    open: (): void => {
      isOpen = true
      open.openUnsafe()
    }
  }
}

/** A gate of its own. */
export const make = (): HandlerGate => {
  const door = makeDoor()
  const turns = Semaphore.makeUnsafe(1)
  let crowdedUntil = 0

  /** Whether everybody has left in time, with the door closed behind them. */
  const becomesEmpty = Effect.fnUntraced(function* (patience: Duration.Duration) {
    const now = yield* Clock.currentTimeMillis
    if (!door.isEmpty() && now < crowdedUntil) return false
    door.close()
    if (door.isEmpty()) return true
    const waited = yield* Effect.timeoutOption(door.empty, patience)
    if (Option.isNone(waited)) crowdedUntil = now + (pauseInPatiences + 1) * Duration.toMillis(patience)
    return Option.isSome(waited)
  })

  const alone: HandlerGate["alone"] = (patience, work) =>
    Effect.gen(function* () {
      const turn = yield* Scope.make()
      let isBeside = false
      const letOthersIn = Effect.suspend(() => {
        if (isBeside) return Effect.void
        isBeside = true
        door.enter()
        return Scope.close(turn, Exit.void)
      })
      const taken = Scope.provide(
        Effect.andThen(
          turns.takeScoped(1),
          Effect.addFinalizer(() => Effect.sync(door.open))
        ),
        turn
      )
      return yield* taken.pipe(
        Effect.andThen(becomesEmpty(patience)),
        Effect.tap((isAlone) => (isAlone ? Effect.void : letOthersIn)),
        Effect.flatMap((isAlone) => work({ isAlone, letOthersIn })),
        Effect.onExit(() => Effect.andThen(isBeside ? door.leave : Effect.void, Scope.close(turn, Exit.void)))
      )
    })

  return { beside: door.beside, alone }
}
