/** What a test does with jobs and their runs, on any history of the port. */
import { randomUUID } from "node:crypto"
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import type { HeldRun, KeptRun } from "../../src/domain/JobRun.ts"
import {
  type Ending,
  type Holder,
  type JobDefinition,
  JobHistory,
  type Proposal
} from "../../src/domain/ports/JobHistory.ts"
import { eventually } from "./servers/eventually.ts"

export const definition = (fields: Partial<JobDefinition> = {}): JobDefinition => ({
  name: `job-${randomUUID()}`,
  schedule: "* * * * *",
  timeZone: "UTC",
  overlap: "skip",
  catchUp: "latest",
  publishes: undefined,
  ...fields
})

export const publishing = { publishes: { topic: "invoices", payload: '{"month":"last"}' } }

/** Asks until the answer is as it is to be. */
export const asked = <A, E, R>(question: Effect.Effect<A, E, R>, isAnswer: (answer: A) => boolean) =>
  eventually(
    Effect.map(question, (answer) => {
      assert.isTrue(isAnswer(answer), `the answer is still ${String(answer)}`)
      return answer
    }),
    { deadline: "20 seconds" }
  )

export const patient: Holder = { replica: "a", lease: Duration.minutes(5) }
export const hasty: Holder = { replica: "b", lease: Duration.millis(1) }

/** The job as it is kept. */
export const keptOf = ({ name }: JobDefinition) =>
  JobHistory.use((history) =>
    Effect.map(history.jobs(undefined), ({ jobs }) => jobs.find((job) => job.name === name) ?? assert.fail(name))
  )

/** A job that is known since before the first of these instants, which are over: so many milliseconds ago. */
export const known = Effect.fnUntraced(function* (fields: Partial<JobDefinition> = {}) {
  const history = yield* JobHistory
  const job = definition(fields)
  yield* history.register([job])
  const { decidedUntil } = yield* keptOf(job)
  // The store's time goes on by itself.
  const at = (index: number) => decidedUntil + index
  yield* asked(history.jobs(0), ({ now }) => now > at(20))
  return { ...job, decidedUntil, at }
})

type Known = Effect.Success<ReturnType<typeof known>>

export const proposal = (job: Known, run: ReadonlyArray<number>, fields: Partial<Proposal> = {}): Proposal => ({
  job: job.name,
  decidedUntil: job.decidedUntil,
  until: run.at(-1) ?? job.decidedUntil,
  run,
  skip: [],
  reason: "missed",
  ...fields
})

export const decideOne = Effect.fnUntraced(function* (given: Proposal, holder: Holder = patient) {
  const history = yield* JobHistory
  const { decisions } = yield* history.decide(holder, [given])
  return decisions[0] ?? assert.fail("no decision")
})

/** A run that is held, of the first instant of a job. */
export const heldRun = Effect.fnUntraced(function* (fields: Partial<JobDefinition> = {}, holder: Holder = patient) {
  const job = yield* known(fields)
  const { run } = yield* decideOne(proposal(job, [job.at(1)]), holder)
  return { job: { ...job, decidedUntil: job.at(1) }, run: run ?? assert.fail("not held") }
})

export const ending = (run: HeldRun, fields: Partial<Ending> = {}): Ending => ({
  run,
  outcome: "succeeded",
  isReleased: false,
  startedAt: undefined,
  error: undefined,
  result: undefined,
  ...fields
})

export const recordOne = (given: Ending) => JobHistory.use((history) => history.record([given]))

export const waitingOf = (job: JobDefinition, holder: Holder = patient) =>
  JobHistory.use((history) => history.takeWaiting(holder, [job.name], 10))

export const runsOf = (job: JobDefinition, onlyFailed = false) =>
  JobHistory.use((history) => history.runs({ job: job.name, onlyFailed, limit: 100 }))

export const told = ({ attempt, error, isOpen, outcome, scheduledFor }: KeptRun, job: Known) => ({
  at: scheduledFor - job.at(0),
  attempt,
  isOpen,
  outcome: outcome ?? error ?? "going on"
})
