/**
 * The one way anything long-running runs. A stream that fails is restarted, alone, with back-off; a defect is a failure
 * with a stack; what trying again cannot help (credentials, configuration) ends the stream with its error.
 */
import { Cause, Context, Effect, Exit, Layer, Metric, Schedule, Stream } from "effect"

export type StreamState = "running" | "restarting" | "done" | "failed"

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

const restarts = Metric.counter("paystream_restarts_total", {
  description: "Times that a supervised stream was restarted",
  incremental: true
})

/** 1 s, 2 s, 4 s … at most 60 s, each ±20 %: long enough not to trouble a service that starts, forever. */
const backOff = Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("60 seconds")]).pipe(Schedule.jittered)

const canRestart = <E extends Retryable>(cause: Cause.Cause<E>): boolean =>
  !Cause.hasInterruptsOnly(cause) && cause.reasons.every((reason) => reason._tag !== "Fail" || reason.error.isRetryable)

// A service that is away has been reported by its layer; only what nobody expects is worth an error and its stack.
const logRestart = <E extends Retryable>(name: string, cause: Cause.Cause<E>) =>
  Cause.hasDies(cause)
    ? Effect.logError(`${name} stopped on a defect and starts again`, cause)
    : Effect.logDebug(`${name} starts again: ${String(Cause.squash(cause))}`)

/**
 * Restarts the stream when it fails; the wait starts from one second again after each element. Ends when the stream
 * ends, fails with what cannot be mended by a restart.
 */
export const supervised =
  (name: string) =>
  <A, E extends Retryable, R>(self: Stream.Stream<A, E, R>): Stream.Stream<A, E, R | Supervisor> =>
    Stream.unwrap(
      Effect.map(Supervisor, (supervisor) => {
        const counted = Metric.withAttributes(restarts, { stream: name })
        const restarting = (cause: Cause.Cause<E>) =>
          Effect.all([supervisor.report(name, "restarting"), Metric.update(counted, 1), logRestart(name, cause)])
        return self.pipe(
          Stream.onStart(supervisor.report(name, "running")),
          Stream.catchCause((cause) =>
            Cause.hasInterruptsOnly(cause) ? Stream.failCause(cause as Cause.Cause<never>) : Stream.fail(cause)
          ),
          Stream.tapError((cause) => (canRestart(cause) ? restarting(cause) : supervisor.report(name, "failed"))),
          Stream.retry(Schedule.while(backOff, ({ input }: { input: Cause.Cause<E> }) => canRestart(input))),
          Stream.catch(Stream.failCause),
          Stream.onExit((exit) => (Exit.isSuccess(exit) ? supervisor.report(name, "done") : Effect.void))
        )
      })
    )
