/** The handlers of a worker, made once, when it starts: with them come the services and the state that they share. */
import { Cause, Effect, Schema } from "effect"
import { unlessStopped } from "./Shutdown.ts"
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

/** The worker is `starting` until they are made; `undefined` if it is asked to stop before that. */
export const make = <In, Out, R>(worker: Worker<In, Out, R>) =>
  Effect.gen(function* () {
    const { report } = yield* Supervisor
    const name = `worker ${worker.name}`
    yield* report(name, "starting")
    const handlers = Effect.catchCause(worker.handlers, (cause) => {
      // Interrupted from outside: nothing of the worker's own.
      if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
      const failure = new HandlersUnavailable({ worker: worker.name, detail: messageOf(Cause.squash(cause)) })
      return Effect.logError(failure.message, cause).pipe(
        Effect.andThen(report(name, "failed")),
        Effect.andThen(failure)
      )
    })
    return yield* unlessStopped(handlers)
  })
