/**
 * Messages that may have killed a process: what comes again is handled alone, with a durable mark made before.
 *
 * ## Guarantees
 * - Nothing that comes for the first time pays for it, and a message merely in hand at a crash is never blamed: only
 *   one that was alone and begun leaves a mark behind.
 * - Nothing stalls because of it: without the database a suspect is handled alone without a mark, which is said once;
 *   one that takes long is cleared and lets the others in.
 *
 * ## Assumptions
 * - A mark that could not be removed counts as a crash should its message come again: that takes `maxCrashes` of them.
 */
import { Clock, Context, Duration, Effect, Fiber, Layer, Option } from "effect"
import { CrashMarks, type Suspect } from "../domain/ports/CrashMarks.ts"
import type { StoreError } from "../domain/StoreError.ts"
import * as HandlerGate from "./HandlerGate.ts"
import { Shutdown } from "./Shutdown.ts"

export interface SuspectOptions {
  /** Deaths of the process with a message alone and begun, after which it is not handled any more. */
  readonly maxCrashes: number
  /** The longest that one waits to be alone, and that all others wait for it. */
  readonly patience: Duration.Duration
}

/** What to do with a suspect. */
export interface Trial<A, E, R> {
  /** Who it is: asked for only where a mark is to be made. */
  readonly suspect: Effect.Effect<Suspect>
  readonly handle: Effect.Effect<A, E, R>
  /** After so many crashes. */
  readonly setAside: (crashes: number) => Effect.Effect<A, E, R>
}

export interface SuspectsShape {
  /** Work on what comes for the first time. */
  readonly beside: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Work on what came again. */
  readonly alone: <A, E, R>(trial: Trial<A, E, R>) => Effect.Effect<A, E, R | Shutdown>
}

/** Where a mark is not made within this, the suspect goes without: all others wait meanwhile. */
const markTimeout = "2 seconds"
/** The first has to connect, and may find the tables not made yet: without a mark then, a message that kills its process early would never be counted. */
const firstMarkTimeout = "15 seconds"
/** The database is not asked again for so long after it was away. */
const pauseMillis = 10_000

/** A mark that was made, or could not be. */
interface Mark {
  /** Before this one. */
  readonly crashes: number
  /** Done again, does nothing. */
  readonly clear: Effect.Effect<void>
}

const unmarked: Mark = { crashes: 0, clear: Effect.void }

/** The marks as they can be had: their absence is said once, and not waited for again and again. */
const makeMarks = (marks: CrashMarks["Service"]) => {
  let isAway = false
  let isReady = false
  let pausedUntil = 0
  const away = (detail: string) =>
    Effect.gen(function* () {
      pausedUntil = (yield* Clock.currentTimeMillis) + pauseMillis
      if (isAway) return
      isAway = true
      yield* Effect.logWarning(`crash marks cannot be kept, suspects are handled alone without them: ${detail}`)
    })
  const back = Effect.suspend(() => {
    if (!isAway) return Effect.void
    isAway = false
    return Effect.logInfo("crash marks are kept again")
  })
  const ready = Effect.suspend(() => (isReady ? Effect.void : marks.prepare)).pipe(
    Effect.tap(
      Effect.sync(() => {
        isReady = true
      })
    )
  )
  const attempt = <A>(effect: Effect.Effect<A, StoreError>): Effect.Effect<A | undefined> =>
    Effect.andThen(ready, effect).pipe(
      Effect.timeoutOption(isReady || isAway ? markTimeout : firstMarkTimeout),
      Effect.matchEffect({
        onFailure: (error) => Effect.as(away(error.message), undefined),
        onSuccess: (answer) =>
          Option.isNone(answer)
            ? Effect.as(away("the database does not answer"), undefined)
            : Effect.as(back, answer.value)
      })
    )
  return {
    begin: Effect.fnUntraced(function* (suspect: Suspect): Effect.fn.Return<Mark> {
      if ((yield* Clock.currentTimeMillis) < pausedUntil) return unmarked
      const crashes = yield* attempt(marks.begin(suspect))
      if (crashes === undefined) return unmarked
      let isMarked = true
      const clear = Effect.suspend(() => {
        if (!isMarked) return Effect.void
        isMarked = false
        return Effect.asVoid(attempt(marks.end(suspect)))
      })
      return { crashes, clear: Effect.uninterruptible(clear) }
    })
  }
}

/** Suspects of one process; without marks they are only handled alone. */
export const make = (options: SuspectOptions, crashMarks: CrashMarks["Service"] | undefined): SuspectsShape => {
  const gate = HandlerGate.make()
  const marks = crashMarks && makeMarks(crashMarks)

  /** Cleared before the others are let in, and before a stop that may end in a kill: from then on it is not to blame. */
  const watched = <A, E, R>(work: Effect.Effect<A, E, R>, clear: Effect.Effect<void>, turn: HandlerGate.Turn) =>
    Effect.gen(function* () {
      const { requested } = yield* Shutdown
      const end = Effect.timeoutOption(requested, options.patience)
      const watcher = yield* Effect.forkChild(end.pipe(Effect.andThen(clear), Effect.andThen(turn.letOthersIn)))
      return yield* Effect.onExit(work, () => Fiber.interrupt(watcher))
    })

  const tried = <A, E, R>(trial: Trial<A, E, R>, turn: HandlerGate.Turn) =>
    // Durable before the work begins: a process that dies of it leaves the mark behind.
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const { clear, crashes } = marks === undefined ? unmarked : yield* marks.begin(yield* trial.suspect)
        const work = crashes >= options.maxCrashes ? trial.setAside(crashes) : trial.handle
        return yield* Effect.onExit(restore(watched(work, clear, turn)), () => clear)
      })
    )

  return {
    beside: gate.beside,
    alone: (trial) => gate.alone(options.patience, (turn) => (turn.isAlone ? tried(trial, turn) : trial.handle))
  }
}

const defaults: SuspectOptions = { maxCrashes: 3, patience: Duration.minutes(1) }

/** Shared by all workers of the process; without marks unless they are provided. */
export class Suspects extends Context.Reference<SuspectsShape>("paystream/streams/Suspects", {
  defaultValue: () => make(defaults, undefined)
}) {
  /** With marks that survive the process. */
  static readonly layer = (options: SuspectOptions) =>
    Layer.effect(
      Suspects,
      Effect.map(CrashMarks, (marks) => make(options, marks))
    )
}
