/**
 * Messages that may have killed a process. What comes again has a durable mark while it is handled; what comes again
 * with such a mark left behind is a suspect, and handled alone.
 *
 * ## Guarantees
 * - Nothing that comes for the first time pays for it; what comes again pays for its mark, and waits for nobody: a stop
 *   or a reconnect, after which the whole prefetch comes again, holds nobody up.
 * - A message merely in hand at a crash is never blamed: what counts is that the process died while it was alone.
 * - Nothing stalls because of it: without the database messages are handled without marks, which is said once; a suspect
 *   that takes long is cleared and lets the others in.
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

/** What to do with a message that came again. */
export interface Trial<A, E, R> {
  /** Who it is: asked for only where a mark is to be made. */
  readonly suspect: Effect.Effect<Suspect>
  readonly handle: Effect.Effect<A, E, R>
  /** After so many crashes; whether it is done for the first time, and has not killed the process as well. */
  readonly setAside: (crashes: number, isFirst: boolean) => Effect.Effect<A, E, R>
}

export interface SuspectsShape {
  /** Work on what comes for the first time. */
  readonly beside: HandlerGate.HandlerGate["beside"]
  /** Work on what came again: beside the others, and alone if it was begun before and not ended. */
  readonly again: <A, E, R>(trial: Trial<A, E, R>) => Effect.Effect<A, E, R | Shutdown>
}

/** Where a mark is not made within this, the message goes without: others may wait meanwhile. */
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
      yield* Effect.logWarning(`crash marks cannot be kept, what comes again is handled without them: ${detail}`)
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
    /** How often it was begun and not ended; `undefined` if that cannot be known. */
    begun: Effect.fnUntraced(function* (suspect: Suspect) {
      return (yield* Clock.currentTimeMillis) < pausedUntil ? undefined : yield* attempt(marks.begun(suspect))
    }),
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

/** The first mark was left while others were handled too: it tells a suspect, and nothing of its guilt. */
const marksBeforeAlone = 1

/** Suspects of one process; without marks there are none. */
export const make = (options: SuspectOptions, crashMarks: CrashMarks["Service"] | undefined): SuspectsShape => {
  const gate = HandlerGate.make()
  if (crashMarks === undefined) return { beside: gate.beside, again: ({ handle }) => gate.beside(() => handle) }
  const marks = makeMarks(crashMarks)

  /** Runs `end` when asked to stop, or after a time; then the work goes on. */
  const watched = <A, E, R>(work: Effect.Effect<A, E, R>, end: Effect.Effect<void>, after: Duration.Duration) =>
    Effect.gen(function* () {
      const { requested } = yield* Shutdown
      const watcher = yield* Effect.forkChild(Effect.andThen(Effect.timeoutOption(requested, after), end))
      return yield* Effect.onExit(work, () => Fiber.interrupt(watcher))
    })

  // Durable before the work begins: a process that dies of it leaves the mark behind. Gone before a stop that may end in
  // a kill: from then on it is not to blame.
  const marked = <A, E, R>(trial: Trial<A, E, R>, suspect: Suspect) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const { clear } = yield* marks.begin(suspect)
        return yield* Effect.onExit(restore(watched(trial.handle, clear, Duration.infinity)), () => clear)
      })
    )

  /** Cleared before the others are let in: from then on it is not to blame. */
  const tried = <A, E, R>(trial: Trial<A, E, R>, suspect: Suspect, turn: HandlerGate.Turn) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const { clear, crashes: left } = yield* marks.begin(suspect)
        const crashes = left - marksBeforeAlone
        const work =
          crashes >= options.maxCrashes ? trial.setAside(crashes, crashes === options.maxCrashes) : trial.handle
        const end = Effect.andThen(clear, turn.letOthersIn)
        return yield* Effect.onExit(restore(watched(work, end, options.patience)), () => clear)
      })
    )

  return {
    beside: gate.beside,
    again: (trial) =>
      Effect.gen(function* () {
        const suspect = yield* trial.suspect
        const begun = yield* marks.begun(suspect)
        if (begun === undefined) return yield* gate.beside(() => trial.handle)
        if (begun === 0) return yield* gate.beside(() => marked(trial, suspect))
        return yield* gate.alone(options.patience, (turn) =>
          turn.isAlone ? tried(trial, suspect, turn) : trial.handle
        )
      })
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
