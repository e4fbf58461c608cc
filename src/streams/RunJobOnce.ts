/** One run of a job that somebody asked for, kept in the history as every other. */
import { Clock, Duration, Effect, Schema, Scope, Stream } from "effect"
import { type KeptRun, runId } from "../domain/JobRun.ts"
import { JobHistory } from "../domain/ports/JobHistory.ts"
import type { Runnable } from "./JobBook.ts"
import * as JobRuns from "./JobRuns.ts"
import { Shutdown } from "./Shutdown.ts"

/** There is a run of that instant, or another goes on. */
export class RunNotTaken extends Schema.TaggedError<RunNotTaken>()("RunNotTaken", { detail: Schema.String }) {
  readonly isRetryable = false
  override get message(): string {
    return this.detail
  }
}

/** Why nobody can have a run that was asked for. */
export const notTaken = Effect.fnUntraced(function* (job: string, at: number | undefined) {
  const history = yield* JobHistory
  const same = at === undefined ? undefined : yield* history.find({ job, scheduledFor: at })
  if (same !== undefined)
    return yield* new RunNotTaken({ detail: `${runId(same)} has a run already (${same.outcome ?? "it is open"})` })
  const [open] = (yield* history.runs({ job, onlyFailed: false, limit: 100 })).filter(({ isOpen }) => isOpen)
  const which = open === undefined ? "another run" : `${runId(open)}${open.replica ? ` (${open.replica})` : ""}`
  return yield* new RunNotTaken({ detail: `${which} goes on or waits: try again when it has ended` })
})

/** Runs it now, for an instant or for now; what became of it. Asked to stop, it is interrupted and released. */
export const runJobOnce = <R>(runnable: Runnable<R>, at: number | undefined, options: JobRuns.JobRunsOptions) =>
  Effect.gen(function* () {
    const history = yield* JobHistory
    const shutdown = yield* Shutdown
    const alone = { now: Clock.currentTimeMillis, wake: () => undefined }
    const runs = yield* JobRuns.make<R>(alone, options, yield* Scope.Scope)
    const run = yield* history.takeNow(options.holder, runnable.name, at)
    if (run === undefined) return yield* notTaken(runnable.name, at)
    yield* runs.withPlaces(1, (begin) => begin([{ run, runnable }]))
    const stopped = Effect.andThen(shutdown.requested, runs.drain(Duration.zero))
    const beside = Effect.forEach([runs.recording, runs.renewing], Stream.runDrain, { concurrency: "unbounded" })
    yield* Effect.raceFirst(Effect.raceFirst(runs.allEnded, stopped), Effect.andThen(beside, Effect.never))
    const kept: KeptRun | undefined = yield* history.find(run)
    return kept ?? (yield* new RunNotTaken({ detail: `${runId(run)} is not in the history any more` }))
  }).pipe(Effect.scoped)
