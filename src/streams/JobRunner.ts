/**
 * One run of a job: its attempts, each bounded in time, and what became of the last one.
 *
 * ## Guarantees
 * - An attempt that takes too long is interrupted, and its finalizers run; one that does not let itself be interrupted is
 *   left behind, which is logged.
 * - What was lost with its holders too often is not begun again: it has failed.
 * - Whatever a job does, the effect here succeeds: what went wrong is told in the ending.
 */
import { Cause, Clock, Context, Duration, Effect, Exit, Fiber, Option, Random, References, Tracer } from "effect"
import { type HeldRun, keptError, keptResult, maxLosses, runId } from "../domain/JobRun.ts"
import { timeTaken } from "../domain/JobText.ts"
import type { Ending } from "../domain/ports/JobHistory.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import { CurrentRun } from "./Job.ts"
import type { Runnable } from "./JobBook.ts"
import type { JobMetrics } from "./JobMetrics.ts"
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

const annotationsOf = (run: HeldRun) => ({ job: run.job, run: runId(run), attempt: run.attempt })

/** What a job publishes has the same ids in each attempt, so that a repeat can be told. */
const messageOf = (id: string) => {
  let position = 0
  // the trace of what is published is that of the span around it
  return { id, nextId: () => `${id}/${position++}`, trace: undefined }
}

/** Work that goes on, and when it began and ended on this process's own clock. */
interface Work {
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly startedAt: number
  endedAt: number | undefined
}

/** Begins what an attempt is to do: what is done before is done for each of thousands that are due at the same instant. */
const beginWork = <R>(runnable: Runnable<R>, run: HeldRun, span: Tracer.Span | undefined) => {
  const own = annotationsOf(run)
  const work = Effect.updateContext(runnable.run, (context: Context.Context<R>) => {
    const annotations = { ...Context.get(context, References.CurrentLogAnnotations), ...own }
    const inside = context.pipe(
      Context.add(CurrentRun, run),
      Context.add(CurrentMessage, messageOf(own.run)),
      Context.add(References.CurrentLogAnnotations, annotations)
    )
    return span === undefined ? inside : Context.add(inside, Tracer.ParentSpan, span)
  })
  return Effect.clockWith((clock) => {
    const startedAt = clock.currentTimeMillisUnsafe()
    return Effect.map(Effect.forkDetach(work, { startImmediately: true }), (fiber) => {
      const begun: Work = { fiber, startedAt, endedAt: undefined }
      fiber.addObserver(() => {
        begun.endedAt = clock.currentTimeMillisUnsafe()
      })
      return begun
    })
  })
}

/** The exit of work, or none if it took too long; it has ended then. Work that has ended by itself needs no clock. */
const bounded = <R>(begin: Effect.Effect<Work, never, R>, timeout: Duration.Duration) =>
  Effect.acquireUseRelease(
    begin,
    (work) => {
      const exit = work.fiber.pollUnsafe()
      const ended =
        exit === undefined ? Effect.timeoutOption(Fiber.await(work.fiber), timeout) : Effect.succeedSome(exit)
      return Effect.map(ended, (exit) => ({ exit, work }))
    },
    ({ fiber }) => (fiber.pollUnsafe() === undefined ? interruptOrLeave(fiber) : Effect.void)
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

const tell = ({ error, outcome }: Outcome, took: number, isLast: boolean) => {
  const again = isLast ? "" : ", and is tried again"
  const time = timeTaken(took)
  if (outcome === "succeeded") return Effect.logInfo(`succeeded in ${time}`)
  return Effect.annotateLogs(
    Effect.logError(`${outcome === "timed_out" ? "timed out" : "failed"} after ${time}${again}`),
    {
      error
    }
  )
}

export interface RunOptions {
  readonly timeout: Duration.Duration
  /** Keeps what became of an attempt that is tried again. */
  readonly keep: (ending: Ending) => Effect.Effect<void>
  readonly metrics: JobMetrics
}

/** One attempt, whatever comes of it. */
const attempt = <R>(
  runnable: Runnable<R>,
  run: HeldRun,
  begin: Effect.Effect<Work, never, R>,
  { metrics, timeout }: RunOptions
) =>
  Effect.gen(function* () {
    const longest = runnable.timeout ?? timeout
    const { exit, work } = yield* bounded(begin, longest)
    const outcome = outcomeOf(exit, longest)
    const took = (work.endedAt ?? (yield* Clock.currentTimeMillis)) - work.startedAt
    metrics.took(run.job, took)
    const isLast = outcome.outcome === "succeeded" || !RetryPolicy.mayRetry(runnable.retry, run.attempt)
    yield* tell(outcome, took, isLast)
    return { outcome, isLast }
  }).pipe(Effect.annotateLogs(annotationsOf(run)))

const plain = { isReleased: false, startedAt: undefined } as const

/** The end of a run that nobody is to begin again. */
const givenUp = (run: HeldRun) =>
  Effect.gen(function* () {
    const error =
      `${run.losses} processes that ran it were not heard of any more, and it is not begun again: ` +
      "see what became of them (memory, a frozen process), then run it by hand"
    yield* Effect.logError(`failed: ${error}`)
    return { ...plain, run, outcome: "failed", error, result: undefined } satisfies Ending
  }).pipe(Effect.annotateLogs(annotationsOf(run)))

/** A run that has begun. */
export interface Begun {
  readonly run: HeldRun
  /** A trace of its own for each run, with all of its attempts here. */
  readonly span: Tracer.Span | undefined
  /** Of its first attempt here; none of what was lost too often. */
  readonly work: Work | undefined
}

const spanOf = (run: HeldRun) =>
  Effect.flatMap(TracingEnabled, (isEnabled): Effect.Effect<Tracer.Span | undefined> => {
    if (!isEnabled) return Effect.undefined
    const attributes = { "job.name": run.job, "job.run": runId(run), "job.attempt": run.attempt }
    return Effect.makeSpan(`job ${run.job}`, { root: true, attributes })
  })

/** Begins a run: who begins it follows it to its end, and is not interrupted in between. */
export const begin = <R>(runnable: Runnable<R>, run: HeldRun): Effect.Effect<Begun, never, R> =>
  Effect.flatMap(spanOf(run), (span): Effect.Effect<Begun, never, R> => {
    if (run.losses > maxLosses) return Effect.succeed({ run, span, work: undefined })
    return Effect.map(beginWork(runnable, run, span), (work) => ({ run, span, work }))
  })

const inSpan = <A, E, R>(work: Effect.Effect<A, E, R>, span: Tracer.Span | undefined): Effect.Effect<A, E, R> =>
  span === undefined
    ? work
    : (Effect.onExit(Effect.withParentSpan(work, span), (exit) =>
        Effect.map(Clock.currentTimeNanos, (now) => span.end(now, exit))
      ) as Effect.Effect<A, E, R>)

/** All attempts at a run that has begun; the ending of the last one. */
export const follow = <R>(
  runnable: Runnable<R>,
  { run, span, work }: Begun,
  options: RunOptions
): Effect.Effect<Ending, never, R> => {
  const from = (current: HeldRun, begin: Effect.Effect<Work, never, R>): Effect.Effect<Ending, never, R> =>
    Effect.gen(function* () {
      const { isLast, outcome } = yield* attempt(runnable, current, begin, options)
      const ending = { ...plain, run: current, ...outcome }
      if (isLast) return ending
      yield* options.keep({ ...ending, outcome: undefined })
      yield* Effect.sleep(RetryPolicy.jitteredDelay(runnable.retry, current.attempt, yield* Random.next))
      const next = { ...current, attempt: current.attempt + 1 }
      return yield* from(next, beginWork(runnable, next, span))
    })
  return inSpan(work === undefined ? givenUp(run) : from(run, Effect.succeed(work)), span)
}
