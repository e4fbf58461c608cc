/** The handlers of a worker, made once, when it starts: with them come the services and the state that they share. */
import { Cause, Duration, Effect, Predicate, Schema } from "effect"
import { unlessStopped } from "./Shutdown.ts"
import { Supervisor } from "./Supervisor.ts"
import { within } from "./Within.ts"
import type { Handlers, Worker } from "./Worker.ts"
import { WorkerMistake } from "./WorkerChecks.ts"
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

/** A hook was given up. */
class HookTimeout extends Schema.TaggedError<HookTimeout>()("HookTimeout", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/** What is wrong with what an Effect has given for handlers: not everybody's compiler has looked at it. */
const problemOf = (given: unknown): string | undefined => {
  const { onCrashed, onError, onSuccess, process }: Partial<Record<string, unknown>> = Predicate.isObject(given)
    ? given
    : {}
  if (!Predicate.isFunction(process)) return "its handlers lack `process`, a function from the input to an Effect"
  const isHook = (hook: unknown) => hook === undefined || Predicate.isFunction(hook)
  return [onSuccess, onError, onCrashed].every(isHook)
    ? undefined
    : "its onSuccess or onError is no function, or its onCrashed"
}

/** Waits for a hook so long, and then lets the message go on without it. */
const bounded = <Given extends ReadonlyArray<unknown>, R>(
  limit: Duration.Duration,
  hook: ((...given: Given) => Effect.Effect<unknown, unknown, R>) | undefined
) => {
  if (hook === undefined || !Duration.isFinite(limit)) return hook
  const detail = `it took longer than ${Duration.format(limit)} (hookTimeout), and was given up`
  const giveUp = () => Effect.fail(new HookTimeout({ detail }))
  return (...given: Given) => within(limit, giveUp)(Effect.suspend(() => hook(...given)))
}

const boundedHooks = <In, Out, R>(
  { hookTimeout }: Worker<In, Out, R>,
  handlers: Handlers<In, Out, unknown, R>
): Handlers<In, Out, unknown, R> => ({
  process: handlers.process.bind(handlers),
  onSuccess: bounded(hookTimeout, handlers.onSuccess?.bind(handlers)),
  onError: bounded(hookTimeout, handlers.onError?.bind(handlers)),
  onCrashed: bounded(hookTimeout, handlers.onCrashed?.bind(handlers))
})

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
    const made = yield* unlessStopped(Effect.map(handlers, (given) => ({ given })))
    if (made === undefined) return undefined
    const problem = problemOf(made.given)
    if (problem === undefined) return boundedHooks(worker, made.given)
    yield* report(name, "failed")
    return yield* new WorkerMistake({ problems: [`${name}: ${problem}`] })
  })
