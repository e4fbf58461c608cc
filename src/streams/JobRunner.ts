/**
 * One run of a job: its attempts, each bounded in time, and what became of the last one.
 *
 * ## Guarantees
 * - An attempt that takes too long is interrupted, and its finalizers run; one that does not let itself be interrupted is
 *   left behind, which is logged.
 * - What was lost with its holders too often is not begun again: it has failed.
 * - Whatever a job does, the effect here succeeds: what went wrong is told in the ending.
 */
import { Cause, Clock, Duration, Effect, Exit, Fiber, Option, Random } from "effect"
import { type HeldRun, keptError, keptResult, maxLosses, runId } from "../domain/JobRun.ts"
import type { Ending } from "../domain/ports/JobHistory.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import { CurrentRun } from "./Job.ts"
import type { Runnable } from "./JobBook.ts"
import * as JobMetrics from "./JobMetrics.ts"
import { TracingEnabled } from "./Tracing.ts"
import { CurrentMessage } from "./Worker.ts"

/** How long finalizers may take before a job is left behind. */
const longestCleanup = Duration.seconds(10)

const interruptOrLeave = (fiber: Fiber.Fiber<unknown, unknown>) =>
  Effect.flatMap(Effect.timeoutOption(Fiber.interrupt(fiber), longestCleanup), (stopped) =>
    Option.isSome(stopped)
      ? Effect.void
      : Effect.logError(
          `does not let itself be interrupted, and is left behind after ${Duration.format(longestCleanup)}`
        )
  )

/** The exit of the work, or none if it took too long; it has ended then. Work that waits for nothing needs no clock. */
const bounded = <A, E, R>(work: Effect.Effect<A, E, R>, timeout: Duration.Duration) =>
  Effect.acquireUseRelease(
    Effect.forkDetach(Effect.interruptible(work), { startImmediately: true }),
    (fiber) => {
      const exit = fiber.pollUnsafe()
      return exit === undefined ? Effect.timeoutOption(Fiber.await(fiber), timeout) : Effect.succeedSome(exit)
    },
    (fiber) => (fiber.pollUnsafe() === undefined ? interruptOrLeave(fiber) : Effect.void)
  )

type Outcome = Pick<Ending, "outcome" | "error" | "result">

const outcomeOf = (exit: Option.Option<Exit.Exit<unknown, unknown>>, timeout: Duration.Duration): Outcome => {
  if (Option.isNone(exit))
    return { outcome: "timed_out", error: `took longer than ${Duration.format(timeout)}`, result: undefined }
  if (Exit.isFailure(exit.value))
    return { outcome: "failed", error: keptError(Cause.pretty(exit.value.cause)), result: undefined }
  try {
    return { outcome: "succeeded", error: undefined, result: keptResult(exit.value.value) }
  } catch (error) {
    // It has done its work: what cannot be kept of it is no reason to do it again.
    return { outcome: "succeeded", error: `its result is no JSON: ${String(error)}`, result: undefined }
  }
}

/** What a job publishes has the same ids in each attempt, so that a repeat can be told. */
const messageOf = (run: HeldRun) => {
  const id = runId(run)
  let position = 0
  // the trace of what is published is that of the span around it
  return { id, nextId: () => `${id}/${position++}`, trace: undefined }
}

/** A trace of its own for each run, with all of its attempts here. */
const traced = <A, R>(run: HeldRun, work: Effect.Effect<A, never, R>): Effect.Effect<A, never, R> =>
  Effect.flatMap(TracingEnabled, (isEnabled): Effect.Effect<A, never, R> => {
    if (!isEnabled) return work
    const attributes = { "job.name": run.job, "job.run": runId(run), "job.attempt": run.attempt }
    return Effect.withSpan(work, `job ${run.job}`, { root: true, attributes }) as Effect.Effect<A, never, R>
  })

const tell = ({ error, outcome }: Outcome, took: number, isLast: boolean) => {
  const again = isLast ? "" : ", and is tried again"
  const seconds = Duration.format(Duration.millis(took))
  if (outcome === "succeeded") return Effect.logInfo(`succeeded in ${seconds}`)
  return Effect.annotateLogs(
    Effect.logError(`${outcome === "timed_out" ? "timed out" : "failed"} after ${seconds}${again}`),
    {
      error
    }
  )
}

/** One attempt, whatever comes of it. */
const attempt = <R>(runnable: Runnable<R>, run: HeldRun, timeout: Duration.Duration) =>
  Effect.gen(function* () {
    const startedAt = yield* Clock.currentTimeMillis
    const work = runnable.run.pipe(
      Effect.provideService(CurrentRun, run),
      Effect.provideService(CurrentMessage, messageOf(run))
    )
    const outcome = outcomeOf(yield* bounded(work, timeout), timeout)
    const took = (yield* Clock.currentTimeMillis) - startedAt
    yield* JobMetrics.of(run.job).took(took)
    const isLast = outcome.outcome === "succeeded" || !RetryPolicy.mayRetry(runnable.retry, run.attempt)
    yield* tell(outcome, took, isLast)
    return { outcome, isLast }
  }).pipe(Effect.annotateLogs({ job: run.job, run: runId(run), attempt: run.attempt }))

/** The end of a run that nobody is to begin again. */
const givenUp = (run: HeldRun) =>
  Effect.gen(function* () {
    const error =
      `${run.losses} processes that ran it were not heard of any more, and it is not begun again: ` +
      "see what became of them (memory, a frozen process), then run it by hand"
    yield* Effect.logError(`failed: ${error}`)
    return { run, isReleased: false, outcome: "failed", error, result: undefined } satisfies Ending
  }).pipe(Effect.annotateLogs({ job: run.job, run: runId(run), attempt: run.attempt }))

export interface RunOptions {
  readonly timeout: Duration.Duration
  /** Keeps what became of an attempt that is tried again. */
  readonly keep: (ending: Ending) => Effect.Effect<void>
}

/** All attempts at a run; the ending of the last one. */
export const runJob = <R>(
  runnable: Runnable<R>,
  run: HeldRun,
  options: RunOptions
): Effect.Effect<Ending, never, R> => {
  if (run.losses > maxLosses) return givenUp(run)
  const timeout = runnable.timeout ?? options.timeout
  const from = (current: HeldRun): Effect.Effect<Ending, never, R> =>
    Effect.gen(function* () {
      const { isLast, outcome } = yield* attempt(runnable, current, timeout)
      const ending = { run: current, isReleased: false, ...outcome }
      if (isLast) return ending
      yield* options.keep({ ...ending, outcome: undefined })
      yield* Effect.sleep(RetryPolicy.jitteredDelay(runnable.retry, current.attempt, yield* Random.next))
      return yield* from({ ...current, attempt: current.attempt + 1 })
    })
  return traced(run, from(run))
}
