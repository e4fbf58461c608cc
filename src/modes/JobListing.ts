/** `jobs` and `jobs history`: what operators see of jobs. */
import { Console, Effect, Option } from "effect"
import type { KeptRun } from "../domain/JobRun.ts"
import { endOf, nextOf, shownIn, tookOf } from "../domain/JobText.ts"
import type { KeptJob } from "../domain/ports/JobHistory.ts"
import { definitionOf } from "../streams/JobScheduler.ts"
import * as Answer from "./Answer.ts"
import { declaredIn, withHistory } from "./KeptJobs.ts"
import { cards } from "./Table.ts"

const lastOf = (run: KeptRun | undefined, timeZone: string): string =>
  run === undefined ? "-" : `${shownIn(timeZone, run.scheduledFor)} ${endOf(run)} (${tookOf(run)})`

/** Lists jobs: their schedules, next occurrences in their own zone, and last runs. */
export const list = Effect.fnUntraced(function* (given: {
  readonly jobs: Option.Option<string>
  readonly json: boolean
}) {
  const { jobs: declared } = yield* declaredIn(given.jobs)
  yield* withHistory((history) =>
    Effect.gen(function* () {
      const { jobs: kept, now } = yield* history.jobs(undefined)
      const fresh = declared
        .filter(({ name }) => !kept.some((job) => job.name === name))
        .map((job): KeptJob => ({ ...definitionOf(job), decidedUntil: now, isPaused: false, isRemoved: false }))
      const jobs = [...kept, ...fresh].sort((one, other) => one.name.localeCompare(other.name))
      const runs = yield* history.lastRuns(
        jobs.map(({ name }) => name),
        1
      )
      const lastOfJob = new Map(runs.map((run) => [run.job, run]))
      const rows = jobs.map((job) => ({
        job,
        next: nextOf(job, now, 5),
        last: lastOfJob.get(job.name)
      }))
      if (given.json) return yield* Answer.line(rows.map(recordOf))
      yield* Console.log(rows.length === 0 ? "there are no jobs" : cards(rows.map(cardOf)))
    })
  )
})

interface ListedJob {
  readonly job: KeptJob
  readonly next: ReadonlyArray<number>
  readonly last: KeptRun | undefined
}

const cardOf = ({ job, last, next }: ListedJob) => ({
  name: job.name,
  schedule: `${job.schedule} (${job.timeZone})`,
  next: job.isPaused ? "paused" : next.map((at) => shownIn(job.timeZone, at)).join("  "),
  "last run": lastOf(last, job.timeZone),
  overlap: job.overlap,
  "catch-up": job.catchUp,
  ...(job.publishes === undefined ? {} : { publishes: `to ${job.publishes.topic}` })
})

/** A run for machines. */
export const runRecord = (run: KeptRun) => ({
  job: run.job,
  scheduledFor: Answer.instant(run.scheduledFor),
  startedAt: Answer.instant(run.startedAt),
  finishedAt: Answer.instant(run.finishedAt),
  durationMillis: run.finishedAt === undefined || run.startedAt === undefined ? null : run.finishedAt - run.startedAt,
  attempt: run.attempt,
  outcome: run.outcome,
  isOpen: run.isOpen,
  isManual: run.isManual,
  replica: run.replica,
  error: run.error,
  result: run.result === undefined ? null : Answer.written(run.result)
})

const recordOf = ({ job, last, next }: ListedJob) => ({
  name: job.name,
  schedule: job.schedule,
  timeZone: job.timeZone,
  overlap: job.overlap,
  catchUp: job.catchUp,
  isPaused: job.isPaused,
  publishes: job.publishes === undefined ? null : { ...job.publishes, payload: Answer.written(job.publishes.payload) },
  next: next.map(Answer.instant),
  lastRun: last === undefined ? null : runRecord(last)
})

const runRow = (run: KeptRun) => ({
  job: run.job,
  "scheduled for": new Date(run.scheduledFor).toISOString(),
  outcome: endOf(run),
  attempt: run.attempt,
  took: tookOf(run),
  "by hand": run.isManual ? "yes" : "-",
  replica: run.replica ?? "-",
  error: run.error?.split("\n")[0] ?? "-"
})

/** Lists runs, the newest first. */
export const history = (given: {
  readonly name: Option.Option<string>
  readonly failed: boolean
  readonly limit: number
  readonly json: boolean
}) =>
  withHistory((store) =>
    Effect.gen(function* () {
      const job = Option.getOrUndefined(given.name)
      const runs = yield* store.runs({ job, onlyFailed: given.failed, limit: given.limit })
      const limit = { most: given.limit, which: "newest" }
      yield* Answer.list(given.json, { found: runs, record: runRecord, row: runRow, nothing: "nothing has run", limit })
    })
  )
