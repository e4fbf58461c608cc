/** The handlers of a topic worker, made once when it starts. */
import { Cause, Effect, Schema } from "effect"
import { Supervisor } from "./Supervisor.ts"
import type { Worker } from "./Worker.ts"
import { messageOf } from "./WorkerMessages.ts"

/** A worker's handlers could not be made: the services or the state that they share cannot be had. */
export class HandlersUnavailable extends Schema.TaggedError<HandlersUnavailable>()("HandlersUnavailable", {
  worker: Schema.String,
  detail: Schema.String
}) {
  readonly isRetryable = false
  override get message(): string {
    return `worker ${this.worker} cannot start, its handlers could not be made: ${this.detail}`
  }
}

/** Those that the worker's services and shared state give. */
export const handlersOf = <In, Out, R>(worker: Worker<In, Out, R>) =>
  Effect.catchCause(worker.handlers, (cause) => {
    // Interrupted from outside: nothing of the worker's own.
    if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
    const failure = new HandlersUnavailable({ worker: worker.name, detail: messageOf(Cause.squash(cause)) })
    return Effect.logError(failure.message, cause).pipe(
      Effect.andThen(Supervisor.use(({ report }) => report(`worker ${worker.name}`, "failed"))),
      Effect.andThen(failure)
    )
  })
