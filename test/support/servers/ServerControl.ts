import { Effect, Exit, Ref, Scope } from "effect"
import type { Child } from "./Child.ts"
import { run } from "./command.ts"
import { eventually } from "./eventually.ts"
import { ServerError } from "./ServerError.ts"

/** What a test may do to a server of its own. The data survives all of it. */
export interface ServerControl {
  /** Starts it again after `stop` or `kill`, and returns when it serves. */
  readonly start: Effect.Effect<void, ServerError>
  /** Shuts it down in order. */
  readonly stop: Effect.Effect<void, ServerError>
  readonly restart: Effect.Effect<void, ServerError>
  /** Takes it away without warning. */
  readonly kill: Effect.Effect<void, ServerError>
  /** Freezes it: its connections stay open, and nothing answers. */
  readonly pause: Effect.Effect<void, ServerError>
  readonly resume: Effect.Effect<void, ServerError>
}

/** A server that is started beside all else on two cores may take its time. */
const readyDeadline = "100 seconds"
/** Longer, so that what kept it from being ready is what is told. */
const startDeadline = "120 seconds"

/** Controls a server that runs as our own process. */
export const ownProcess = (options: {
  readonly spawn: Effect.Effect<Child, ServerError, Scope.Scope>
  readonly ready: Effect.Effect<unknown, ServerError>
  readonly stopSignal: NodeJS.Signals
}): Effect.Effect<ServerControl, ServerError, Scope.Scope> =>
  Effect.gen(function* () {
    const outer = yield* Effect.scope
    const running = yield* Ref.make<Child | undefined>(undefined)
    const launch = Effect.gen(function* () {
      const scope = yield* Scope.fork(outer)
      const child = yield* Scope.provide(options.spawn, scope)
      yield* Ref.set(running, child)
      yield* serving(child, options.ready).pipe(Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))))
    })
    const signal = (name: NodeJS.Signals) =>
      Effect.flatMap(Ref.get(running), (child) => (child === undefined ? Effect.void : child.kill(name)))
    const end = (name: NodeJS.Signals) =>
      Effect.gen(function* () {
        const child = yield* Ref.getAndSet(running, undefined)
        if (child !== undefined) yield* Effect.andThen(child.kill(name), child.exit)
      })
    // just after a kill its shared memory may still be in use, and the first start fails
    const start = eventually(launch, { deadline: startDeadline, every: "200 millis" })
    const stop = end(options.stopSignal)
    yield* start
    return {
      start,
      stop,
      restart: Effect.andThen(stop, start),
      kill: end("SIGKILL"),
      pause: signal("SIGSTOP"),
      resume: signal("SIGCONT")
    }
  })

const serving = (child: Child, ready: Effect.Effect<unknown, ServerError>): Effect.Effect<void, ServerError> => {
  const ended = Effect.flatMap(child.exit, (code) => {
    const written = [...child.stdout, ...child.stderr].slice(-20).join("\n")
    return new ServerError({ message: `ended with ${code} before it was ready, having written:\n${written}` })
  })
  return Effect.raceFirst(Effect.asVoid(eventually(ready, { deadline: readyDeadline })), ended)
}

/** Controls a server in a container, which is removed with the scope. */
export const ownContainer = (options: {
  readonly name: string
  readonly createArguments: ReadonlyArray<string>
  readonly ready: Effect.Effect<unknown, ServerError>
}): Effect.Effect<ServerControl, ServerError, Scope.Scope> =>
  Effect.gen(function* () {
    const { name, ready } = options
    const act = (...args: ReadonlyArray<string>) => Effect.asVoid(docker(...args))
    yield* Effect.acquireRelease(act("create", "--name", name, ...options.createArguments), () =>
      Effect.ignore(act("rm", "--force", "--volumes", name))
    )
    const start = Effect.andThen(act("start", name), Effect.asVoid(eventually(ready, { deadline: readyDeadline })))
    const stop = act("stop", name)
    yield* start
    return {
      start,
      stop,
      restart: Effect.andThen(stop, start),
      kill: act("kill", name),
      pause: act("pause", name),
      resume: act("unpause", name)
    }
  })

/** Runs a docker command. */
export const docker = (...args: ReadonlyArray<string>): Effect.Effect<string, ServerError> =>
  run("docker", args, { env: process.env })

const notOurs: Effect.Effect<never, ServerError> = Effect.fail(
  new ServerError({ message: "a server given by address is not ours to stop: use startOwn" })
)

/** Controls nothing. */
export const givenByAddress: ServerControl = {
  start: notOurs,
  stop: notOurs,
  restart: notOurs,
  kill: notOurs,
  pause: notOurs,
  resume: notOurs
}
