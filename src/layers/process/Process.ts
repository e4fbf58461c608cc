/** The process around a program: signals in, exit code out. */
import { Cause, Duration, Effect, Exit, Layer, Predicate } from "effect"
import { Shutdown } from "../../streams/Shutdown.ts"
import { Supervisor } from "../../streams/Supervisor.ts"
import * as Signals from "./Signals.ts"

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
  DedupeUnavailable: ExitCode.wrongConfiguration,
  OrderedUnavailable: ExitCode.wrongConfiguration,
  ModuleError: ExitCode.wrongConfiguration,
  SettingsError: ExitCode.wrongConfiguration,
  ApiPortUnusable: ExitCode.wrongConfiguration,
  HealthPortUnusable: ExitCode.wrongConfiguration,
  ShowHelp: ExitCode.wrongConfiguration,
  StoreOutdated: ExitCode.wrongConfiguration,
  ApiRefused: ExitCode.refused,
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
    yield* shutdown.requested.pipe(
      Effect.andThen(Effect.logInfo("stopping: finishing what is in flight; a second signal stops at once")),
      Effect.andThen(Effect.sleep(timeout)),
      Effect.andThen(
        Effect.logError(
          `not drained within ${Duration.format(timeout)}: what is in flight goes back to the queue; SHUTDOWN_TIMEOUT_SECONDS is the limit`
        )
      ),
      Effect.andThen(Effect.sync(() => process.exit(ExitCode.failed))),
      Effect.forkDetach
    )
  })

// What the user can mend is one line; a defect is a bug of ours and shows its stack.
const report = (cause: Cause.Cause<unknown>): number => {
  const error = Cause.squash(cause)
  const tag = tagOf(error)
  if (tag === "ShowHelp") return ExitCode.wrongConfiguration
  process.stderr.write(`${tag !== undefined && error instanceof Error ? error.message : Cause.pretty(cause)}\n`)
  return exitCodeOf(error)
}

/** Runs a program to its end and exits with its code. */
export const run = <E>(program: Effect.Effect<void, E, Shutdown | Supervisor>): void => {
  // Nothing else may hold the process while every service is away and a stream only waits.
  const keepAlive = setInterval(() => undefined, 2 ** 30)
  const base = Layer.provideMerge(Signals.layer, Layer.merge(Shutdown.layer, Supervisor.layer))
  Effect.runFork(Effect.provide(program, base)).addObserver((exit) => {
    clearInterval(keepAlive)
    process.exit(Exit.isSuccess(exit) ? ExitCode.done : report(exit.cause))
  })
}
