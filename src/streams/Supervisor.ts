/**
 * The one way anything long-running runs. A stream that fails is restarted, alone, with back-off; a defect is a failure
 * with a stack; what trying again cannot help (credentials, configuration) ends the stream with its error.
 */
import { Cause, Clock, Context, Effect, Exit, Layer, Metric, Random, Schedule, Stream } from "effect"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import { seriesOf } from "./MetricSeries.ts"
import { Shutdown } from "./Shutdown.ts"

/** The process is not ready while one is `starting` (what it needs is being made) or `failing` (started again and again). */
export type StreamState = "starting" | "running" | "restarting" | "failing" | "done" | "failed"

/** What every supervised stream is doing, by name: the process is healthy unless one of them has failed. */
export class Supervisor extends Context.Service<
  Supervisor,
  {
    readonly states: Effect.Effect<ReadonlyMap<string, StreamState>>
    readonly report: (name: string, state: StreamState) => Effect.Effect<void>
  }
>()("paystream/streams/Supervisor") {
  static readonly layer = Layer.sync(Supervisor, () => {
    const states = new Map<string, StreamState>()
    return {
      states: Effect.sync(() => new Map(states)),
      report: (name, state) => Effect.sync(() => void states.set(name, state))
    }
  })
}

/** An error that knows whether trying again can help. */
export interface Retryable {
  readonly isRetryable: boolean
}

const restarts = seriesOf(["stream"], (attributes) =>
  Metric.counter("paystream_restarts_total", {
    description: "Times that a supervised stream was restarted",
    attributes,
    incremental: true
  })
)

/** 1 s, 2 s, 4 s … at most 60 s, each ±20 %: long enough not to trouble a service that starts, forever. */
const backOff = RetryPolicy.exponential({ initialDelay: "1 second", maxDelay: "60 seconds", jitter: 0.2 })

/** A stream that held so long had got over what it failed of before. */
const calmMillis = 60_000

/** A service that is away has been reported by its layer by then; what goes on failing is worth a line of its own. */
const failuresWorthTelling = 3

const canRestart = <E extends Retryable>(cause: Cause.Cause<E>): boolean =>
  !Cause.hasInterruptsOnly(cause) && cause.reasons.every((reason) => reason._tag !== "Fail" || reason.error.isRetryable)

/** The failures of one stream in a row. */
const failuresOf = (name: string) => {
  let count = 0
  let startedAt = 0
  let told = ""
  const reset = () => {
    count = 0
    told = ""
  }

  const tell = <E>(cause: Cause.Cause<E>) =>
    Effect.suspend(() => {
      const reason = String(Cause.squash(cause))
      if (Cause.hasDies(cause)) return Effect.logError(`${name} stopped on a defect and starts again`, cause)
      if (count < failuresWorthTelling || reason === told) return Effect.logDebug(`${name} starts again: ${reason}`)
      told = reason
      return Effect.logWarning(`${name} does not get on, and goes on trying: ${reason}`)
    })

  return {
    started: Effect.map(Clock.currentTimeMillis, (now) => {
      startedAt = now
    }),
    reset: Effect.sync(reset),
    isFailing: () => count >= failuresWorthTelling,
    /** Tells of a failure, and gives the wait before the next start. */
    next: <E>(cause: Cause.Cause<E>) =>
      Effect.gen(function* () {
        if ((yield* Clock.currentTimeMillis) - startedAt >= calmMillis) reset()
        count++
        yield* tell(cause)
        return RetryPolicy.jitteredDelay(backOff, count, yield* Random.next)
      })
  }
}

/**
 * Restarts the stream when it fails; the wait starts from one second again after an element, or a calm minute. Ends when
 * the stream ends, or when asked to shut down while it waits; fails with what cannot be mended by a restart.
 */
export const supervised =
  (name: string) =>
  <A, E extends Retryable, R>(self: Stream.Stream<A, E, R>): Stream.Stream<A, E, R | Shutdown | Supervisor> =>
    Stream.unwrap(
      Effect.gen(function* () {
        const supervisor = yield* Supervisor
        const shutdown = yield* Shutdown
        const failures = failuresOf(name)

        const waitToRestart = Effect.fnUntraced(function* (cause: Cause.Cause<E>) {
          const delay = yield* failures.next(cause)
          yield* supervisor.report(name, failures.isFailing() ? "failing" : "restarting")
          yield* Metric.update(restarts(name), 1)
          yield* Effect.timeoutOption(shutdown.requested, delay)
        })
        // While it fails again and again, only an element shows that it runs.
        const begun = Effect.suspend(() => (failures.isFailing() ? Effect.void : supervisor.report(name, "running")))

        return self.pipe(
          Stream.onStart(Effect.andThen(failures.started, begun)),
          Stream.tap(() => Effect.andThen(failures.reset, supervisor.report(name, "running"))),
          Stream.catchCause((cause) =>
            Cause.hasInterruptsOnly(cause) ? Stream.failCause(cause as Cause.Cause<never>) : Stream.fail(cause)
          ),
          Stream.tapError((cause) => (canRestart(cause) ? waitToRestart(cause) : supervisor.report(name, "failed"))),
          Stream.retry(
            Schedule.while(Schedule.forever, ({ input }) =>
              Effect.map(shutdown.isRequested, (stop) => !stop && canRestart(input as Cause.Cause<E>))
            )
          ),
          // Asked to stop while it waited: there was nothing in hand.
          Stream.catch((cause) =>
            Stream.unwrap(
              Effect.map(shutdown.isRequested, (stop) =>
                stop && canRestart(cause) ? Stream.empty : Stream.failCause(cause)
              )
            )
          ),
          Stream.onExit((exit) => (Exit.isSuccess(exit) ? supervisor.report(name, "done") : Effect.void))
        )
      })
    )
