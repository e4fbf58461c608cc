/** The process around a program: signals in, exit code out. */
import { Cause, Console, Duration, Effect, Exit, Layer, Predicate } from "effect"
import { Shutdown } from "../../streams/Shutdown.ts"
import { Supervisor } from "../../streams/Supervisor.ts"
import * as Output from "./Output.ts"
import * as Signals from "./Signals.ts"
import * as TerminationMessage from "./TerminationMessage.ts"

/** What every exit code means; the numbers are part of the product. */
export const ExitCode = {
  done: 0,
  failed: 1,
  wrongConfiguration: 2,
  refused: 3,
  stoppedEarly: 4
} as const

const byTag: Readonly<Record<string, number>> = {
  WrongUsage: ExitCode.wrongConfiguration,
  UnusableValue: ExitCode.wrongConfiguration,
  UnknownMode: ExitCode.wrongConfiguration,
  UnknownWorker: ExitCode.wrongConfiguration,
  NoWorkers: ExitCode.wrongConfiguration,
  WorkerMistake: ExitCode.wrongConfiguration,
  UnknownJob: ExitCode.wrongConfiguration,
  NoJobs: ExitCode.wrongConfiguration,
  JobMistake: ExitCode.wrongConfiguration,
  JobNameTaken: ExitCode.wrongConfiguration,
  DedupeUnavailable: ExitCode.wrongConfiguration,
  OrderedUnavailable: ExitCode.wrongConfiguration,
  ModuleError: ExitCode.wrongConfiguration,
  SettingsError: ExitCode.wrongConfiguration,
  ApiPortUnusable: ExitCode.wrongConfiguration,
  HealthPortUnusable: ExitCode.wrongConfiguration,
  ShowHelp: ExitCode.wrongConfiguration,
  StoreOutdated: ExitCode.wrongConfiguration,
  RunMismatch: ExitCode.wrongConfiguration,
  ApiRefused: ExitCode.refused,
  GatewayUnauthorized: ExitCode.refused,
  StoreRefused: ExitCode.refused,
  BrokerRefused: ExitCode.refused,
  Unroutable: ExitCode.refused,
  CrdMissing: ExitCode.refused,
  PermissionsMissing: ExitCode.refused,
  NotServed: ExitCode.refused,
  Forbidden: ExitCode.refused,
  Unauthorized: ExitCode.refused,
  StoppedEarly: ExitCode.stoppedEarly
}

const tagOf = (error: unknown): string | undefined =>
  Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" ? error._tag : undefined

/** The code of an error, or of the reason that it carries. */
export const exitCodeOf = (error: unknown): number => {
  const reason = Predicate.hasProperty(error, "reason") ? error.reason : undefined
  return byTag[tagOf(reason) ?? ""] ?? byTag[tagOf(error) ?? ""] ?? ExitCode.failed
}

/** Ends the process when a drain takes longer than `timeout`, whatever it waits for. */
export const withDeadline = (timeout: Duration.Duration): Effect.Effect<void, never, Shutdown> =>
  Effect.gen(function* () {
    const shutdown = yield* Shutdown
    const message = yield* TerminationMessage.TerminationMessage
    const late = `not drained within ${Duration.format(timeout)}: what is in flight goes back to the queue; SHUTDOWN_TIMEOUT_SECONDS is the limit`
    const output = yield* Output.Output
    const end = Effect.gen(function* () {
      message.write(late)
      yield* Effect.logError(late)
      yield* output.flush
      process.exit(ExitCode.failed)
    })
    yield* shutdown.requested.pipe(
      Effect.andThen(Effect.logInfo("stopping: finishing what is in flight; a second signal stops at once")),
      Effect.andThen(Effect.sleep(timeout)),
      Effect.andThen(end),
      Effect.forkDetach
    )
  })

// What the user can mend is one line; a defect is a bug of ours and shows its stack.
const report = (cause: Cause.Cause<unknown>) => {
  const error = Cause.squash(cause)
  const tag = tagOf(error)
  if (tag === "ShowHelp") return Effect.succeed("wrong usage")
  const message = tag !== undefined && error instanceof Error ? error.message : undefined
  const told = message ?? "a defect: its stack is in the log"
  return Effect.as(Console.error(message ?? Cause.pretty(cause)), told)
}

export interface RunOptions {
  /** Where the process leaves what came of it; `undefined` is nowhere. */
  readonly terminationMessagePath: Effect.Effect<string | undefined>
}

/** Says what came of the program, to whoever reads and in the file; its exit code. */
const conclude = Effect.fnUntraced(function* (
  exit: Exit.Exit<unknown, unknown>,
  message: (typeof TerminationMessage.TerminationMessage)["Service"]
) {
  message.write(Exit.isFailure(exit) ? yield* report(exit.cause) : undefined)
  const isRead = yield* (yield* Output.Output).flush
  if (Exit.isFailure(exit)) return exitCodeOf(Cause.squash(exit.cause))
  return isRead ? ExitCode.done : ExitCode.failed
})

/** Runs a program to its end and exits with its code. */
export const run = <E>(program: Effect.Effect<void, E, Shutdown | Supervisor>, options: RunOptions): void => {
  // Nothing else may hold the process while every service is away and a stream only waits.
  const keepAlive = setInterval(() => undefined, 2 ** 30)
  const base = Layer.merge(Signals.layer, Output.layer).pipe(
    Layer.provideMerge(Layer.merge(Shutdown.layer, Supervisor.layer))
  )
  const running = Effect.gen(function* () {
    const message = TerminationMessage.make(yield* options.terminationMessagePath)
    const exit = yield* Effect.exit(Effect.provideService(program, TerminationMessage.TerminationMessage, message))
    return yield* conclude(exit, message)
  })
  Effect.runFork(Effect.provide(running, base)).addObserver((ran) => {
    clearInterval(keepAlive)
    if (Exit.isFailure(ran)) process.stderr.write(`${Cause.pretty(ran.cause)}\n`)
    process.exit(Exit.isSuccess(ran) ? ran.value : ExitCode.failed)
  })
}
