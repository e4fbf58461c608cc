/** A test's own time: it stands still, and goes on only to the next moment that somebody waits for. */
import { Clock, Duration, Effect, Layer, Scope } from "effect"
import * as TestClock from "effect/testing/TestClock"

export interface TestTime {
  /** Goes on to when the next sleeper wakes; `false` if nobody sleeps. */
  readonly advance: Effect.Effect<boolean>
  /** Lets everything go on that needs no time. */
  readonly turn: Effect.Effect<void>
  /** Runs a program in this time. */
  readonly within: <A, E, R>(program: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

// Behind the tasks of every fiber that can go on.
const nextTask = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

/** What needs no input or output gets as far as it can in so many. */
const tasksInTurn = 5

const turn = Effect.asVoid(Effect.repeat(nextTask, { times: tasksInTurn - 1 }))

/** Time that begins at zero, as long as the scope is open. */
export const make: Effect.Effect<TestTime, never, Scope.Scope> = Effect.gen(function* () {
  const context = yield* Layer.buildWithScope(TestClock.layer(), yield* Scope.Scope)
  const clock = yield* Effect.provideContext(TestClock.testClockWith(Effect.succeed), context)
  const wakings: Array<number> = []

  const sleep: Clock.Clock["sleep"] = (duration) =>
    Effect.suspend(() => {
      const at = clock.currentTimeMillisUnsafe() + Duration.toMillis(duration)
      wakings.push(at)
      return Effect.ensuring(
        clock.sleep(duration),
        Effect.sync(() => void wakings.splice(wakings.indexOf(at), 1))
      )
    })

  return {
    turn,
    advance: Effect.suspend(() => {
      const next = Math.min(...wakings)
      if (!Number.isFinite(next)) return Effect.succeed(false)
      return Effect.as(clock.setTime(Math.max(next, clock.currentTimeMillisUnsafe())), true)
    }),
    within: (program) =>
      program.pipe(Effect.provideService(Clock.Clock, { ...clock, sleep }), Effect.provideContext(context))
  }
})
