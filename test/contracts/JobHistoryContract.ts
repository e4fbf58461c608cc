/** What every history of jobs promises. */
import { randomUUID } from "node:crypto"
import { assert, layer as withLayer } from "@effect/vitest"
import { Array as Arr, Duration, Effect, type Layer, Stream } from "effect"
import { type HeldRun, type KeptRun, runId } from "../../src/domain/JobRun.ts"
import {
  type Ending,
  type Holder,
  type JobDefinition,
  JobHistory,
  type Proposal
} from "../../src/domain/ports/JobHistory.ts"
import { eventually } from "../support/servers/eventually.ts"

const definition = (fields: Partial<JobDefinition> = {}): JobDefinition => ({
  name: `job-${randomUUID()}`,
  schedule: "* * * * *",
  timeZone: "UTC",
  overlap: "skip",
  catchUp: "latest",
  publishes: undefined,
  ...fields
})

const publishing = { publishes: { topic: "invoices", payload: '{"month":"last"}' } }

/** Asks until the answer is as it is to be. */
const asked = <A, E, R>(question: Effect.Effect<A, E, R>, isAnswer: (answer: A) => boolean) =>
  eventually(
    Effect.map(question, (answer) => {
      assert.isTrue(isAnswer(answer), `the answer is still ${String(answer)}`)
      return answer
    }),
    { deadline: "20 seconds" }
  )

const patient: Holder = { replica: "a", lease: Duration.minutes(5) }
const hasty: Holder = { replica: "b", lease: Duration.millis(1) }

/** The job as it is kept. */
const keptOf = ({ name }: JobDefinition) =>
  JobHistory.use((history) =>
    Effect.map(history.jobs(undefined), ({ jobs }) => jobs.find((job) => job.name === name) ?? assert.fail(name))
  )

/** A job that is known since before the first of these instants, which are over: so many milliseconds ago. */
const known = Effect.fnUntraced(function* (fields: Partial<JobDefinition> = {}) {
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

const proposal = (job: Known, run: ReadonlyArray<number>, fields: Partial<Proposal> = {}): Proposal => ({
  job: job.name,
  decidedUntil: job.decidedUntil,
  until: run.at(-1) ?? job.decidedUntil,
  run,
  skip: [],
  reason: "missed",
  ...fields
})

const decideOne = Effect.fnUntraced(function* (given: Proposal, holder: Holder = patient) {
  const history = yield* JobHistory
  const { decisions } = yield* history.decide(holder, [given])
  return decisions[0] ?? assert.fail("no decision")
})

/** A run that is held, of the first instant of a job. */
const heldRun = Effect.fnUntraced(function* (fields: Partial<JobDefinition> = {}, holder: Holder = patient) {
  const job = yield* known(fields)
  const { run } = yield* decideOne(proposal(job, [job.at(1)]), holder)
  return { job: { ...job, decidedUntil: job.at(1) }, run: run ?? assert.fail("not held") }
})

const ending = (run: HeldRun, fields: Partial<Ending> = {}): Ending => ({
  run,
  outcome: "succeeded",
  isReleased: false,
  error: undefined,
  result: undefined,
  ...fields
})

const recordOne = (given: Ending) => JobHistory.use((history) => history.record([given]))

const waitingOf = (job: JobDefinition, holder: Holder = patient) =>
  JobHistory.use((history) => history.takeWaiting(holder, [job.name], 10))

const runsOf = (job: JobDefinition, onlyFailed = false) =>
  JobHistory.use((history) => history.runs({ job: job.name, onlyFailed, limit: 100 }))

const told = ({ attempt, error, isOpen, outcome, scheduledFor }: KeptRun, job: Known) => ({
  at: scheduledFor - job.at(0),
  attempt,
  isOpen,
  outcome: outcome ?? error ?? "going on"
})

/** Runs the whole contract. */
export const suite = (name: string, layer: Layer.Layer<JobHistory, unknown>): void =>
  withLayer(layer, { excludeTestServices: true })(`JobHistory (${name})`, (it) => {
    it.effect("gives each occurrence one run, however many ask for it at the same time", () =>
      Effect.gen(function* () {
        const jobs = yield* Effect.forEach(Arr.range(1, 10), () => known())
        const ask = JobHistory.use((history) =>
          history.decide(
            patient,
            jobs.map((job) => proposal(job, [job.at(1)]))
          )
        )
        // Who meets another at a job is told to come again.
        const again = Effect.repeat(ask, { times: 3 })
        const all = yield* Effect.all(
          Arr.makeBy(20, () => Effect.all([ask, again])),
          { concurrency: "unbounded" }
        )
        const first = yield* Effect.forEach(jobs, (job) => runsOf(job))
        assert.deepStrictEqual(
          first.map((runs) => runs.length),
          jobs.map(() => 1)
        )
        const tokens = all.flat().flatMap(({ decisions }) => decisions.flatMap(({ run }) => run?.fencingToken ?? []))
        assert.isAtMost(new Set(tokens).size, 10)
        assert.strictEqual(new Set(tokens).size, tokens.length)
      })
    )

    it.effect("decides nothing twice, and says what was decided", () =>
      Effect.gen(function* () {
        const { job } = yield* heldRun()
        const late = yield* decideOne({ ...proposal(job, [job.at(1)]), decidedUntil: job.at(0) })
        assert.deepStrictEqual(late, { job: job.name, decidedUntil: job.at(1), run: undefined, skipped: 0, queued: 0 })
      })
    )

    it.effect("decides nothing that is not due", () =>
      Effect.gen(function* () {
        const job = yield* known()
        const ahead = job.at(3_600_000)
        const decision = yield* decideOne(proposal(job, [ahead]))
        assert.deepStrictEqual([decision.run, decision.decidedUntil], [undefined, job.decidedUntil])
        assert.deepStrictEqual(yield* runsOf(job), [])
      })
    )

    it.effect("skips an occurrence while the one before goes on, and keeps that", () =>
      Effect.gen(function* () {
        const { job, run } = yield* heldRun({ overlap: "skip" })
        const overlapping = yield* decideOne(proposal(job, [job.at(2)]))
        assert.deepStrictEqual([overlapping.run, overlapping.skipped], [undefined, 1])
        yield* recordOne(ending(run))
        const next = yield* decideOne({ ...proposal(job, [job.at(3)]), decidedUntil: job.at(2) })
        assert.strictEqual(next.run?.scheduledFor, job.at(3))
        const kept = (yield* runsOf(job)).map((one) => told(one, job))
        assert.deepStrictEqual(kept, [
          { at: 3, attempt: 1, isOpen: true, outcome: "going on" },
          { at: 2, attempt: 0, isOpen: false, outcome: "skipped" },
          { at: 1, attempt: 1, isOpen: false, outcome: "succeeded" }
        ])
      })
    )

    it.effect("lets occurrences wait for their turn where they are queued, in their order", () =>
      Effect.gen(function* () {
        const { job, run } = yield* heldRun({ overlap: "queue" })
        const waiting = yield* decideOne(proposal(job, [job.at(2), job.at(3)]))
        assert.deepStrictEqual([waiting.run, waiting.queued], [undefined, 2])
        assert.deepStrictEqual(yield* waitingOf(job), [])
        assert.deepStrictEqual(yield* recordOne(ending(run)), { refused: [], hasWaiting: true })
        const [second, ...none] = yield* waitingOf(job)
        assert.deepStrictEqual([second?.scheduledFor, second?.attempt, none], [job.at(2), 1, []])
        assert.deepStrictEqual(yield* waitingOf(job), [])
        yield* recordOne(ending(second ?? run))
        const [third] = yield* waitingOf(job)
        assert.strictEqual(third?.scheduledFor, job.at(3))
        assert.isFalse((yield* recordOne(ending(third ?? run))).hasWaiting)
      })
    )

    it.effect("runs what is caught up with one after the other, and keeps what was missed", () =>
      Effect.gen(function* () {
        const job = yield* known({ catchUp: "all" })
        const { queued, run, skipped } = yield* decideOne(
          proposal(job, [job.at(3), job.at(4)], { skip: [job.at(1), job.at(2)] })
        )
        assert.deepStrictEqual([run?.scheduledFor, queued, skipped], [job.at(3), 1, 2])
        const missed = (yield* runsOf(job)).filter(({ outcome }) => outcome === "skipped")
        assert.deepStrictEqual(
          missed.map(({ error }) => error),
          ["missed", "missed"]
        )
      })
    )

    it.effect("lets a run whose lease is over be taken over as a further attempt, and refuses who had it", () =>
      Effect.gen(function* () {
        const { job, run } = yield* heldRun({}, hasty)
        const [taken] = yield* asked(waitingOf(job), ({ length }) => length > 0)
        assert.deepStrictEqual([taken?.scheduledFor, taken?.attempt], [run.scheduledFor, 2])
        assert.isTrue((taken?.fencingToken ?? 0n) > run.fencingToken)
        const history = yield* JobHistory
        assert.deepStrictEqual(yield* history.renew(patient, [run]), [run])
        assert.deepStrictEqual((yield* recordOne(ending(run, { result: '"late"' }))).refused, [run])
        assert.deepStrictEqual((yield* recordOne(ending(taken ?? run, { result: '"mine"' }))).refused, [])
        const kept = yield* history.find(run)
        assert.deepStrictEqual([kept?.outcome, kept?.attempt, kept?.result], ["succeeded", 2, '"mine"'])
      })
    )

    it.effect("counts the holders that were lost, and not those that stopped", () =>
      Effect.gen(function* () {
        const { job, run } = yield* heldRun({}, hasty)
        assert.strictEqual(run.losses, 0)
        const takeHastily = JobHistory.use((history) => history.takeWaiting(hasty, [job.name], 10))
        const [second] = yield* asked(takeHastily, ({ length }) => length > 0)
        assert.strictEqual(second?.losses, 1)
        const [third] = yield* asked(waitingOf(job), ({ length }) => length > 0)
        assert.strictEqual(third?.losses, 2)
        yield* recordOne(ending(third ?? run, { outcome: "interrupted", isReleased: true }))
        const [fourth] = yield* waitingOf(job)
        assert.deepStrictEqual([fourth?.losses, fourth?.attempt], [2, 4])
      })
    )

    it.effect("lets nobody have a run whose lease is renewed", () =>
      Effect.gen(function* () {
        const { job, run } = yield* heldRun({}, hasty)
        const history = yield* JobHistory
        assert.deepStrictEqual(yield* history.renew(patient, [run]), [])
        assert.deepStrictEqual(yield* waitingOf(job), [])
        assert.deepStrictEqual((yield* recordOne(ending(run))).refused, [])
      })
    )

    it.effect("gives a run that is released to the next who asks", () =>
      Effect.gen(function* () {
        const { job, run } = yield* heldRun()
        const stop = ending(run, { outcome: "interrupted", isReleased: true, error: "stopped" })
        assert.deepStrictEqual((yield* recordOne(stop)).refused, [])
        assert.deepStrictEqual(
          (yield* runsOf(job)).map((one) => told(one, job)),
          [{ at: 1, attempt: 1, isOpen: true, outcome: "interrupted" }]
        )
        const [taken] = yield* waitingOf(job)
        assert.deepStrictEqual([runId(taken ?? run), taken?.attempt], [runId(run), 2])
      })
    )

    it.effect("keeps the attempts of a run, what went wrong and what came of it", () =>
      Effect.gen(function* () {
        const { job, run } = yield* heldRun()
        yield* recordOne(ending({ ...run, attempt: 1 }, { outcome: undefined, error: "Error: first\n  at a stack" }))
        const [between] = yield* runsOf(job)
        assert.deepStrictEqual([between?.isOpen, between?.error], [true, "Error: first\n  at a stack"])
        yield* recordOne(ending({ ...run, attempt: 2 }, { outcome: "failed", error: "second", result: '{"rows":7}' }))
        const [kept] = yield* runsOf(job, true)
        assert.deepInclude(kept, { attempt: 2, outcome: "failed", error: "second", result: '{"rows":7}', replica: "a" })
        assert.isTrue((kept?.finishedAt ?? 0) >= (kept?.startedAt ?? Number.POSITIVE_INFINITY))
        const history = yield* JobHistory
        assert.deepStrictEqual(yield* history.lastRuns([job.name, "nobody"]), kept === undefined ? [] : [kept])
      })
    )

    it.effect("decides and gives nothing of a job that is paused, and misses nothing meanwhile", () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const job = yield* known()
        assert.isTrue(yield* history.pause(job.name, true))
        assert.strictEqual((yield* decideOne(proposal(job, [job.at(1)]))).run, undefined)
        assert.isTrue((yield* keptOf(job)).isPaused)
        assert.isTrue(yield* history.pause(job.name, false))
        const kept = yield* keptOf(job)
        assert.isFalse(kept.isPaused)
        assert.isAbove(kept.decidedUntil, job.at(10))
        assert.isFalse(yield* history.pause("nobody", true))
      })
    )

    it.effect("goes on where a job was when it is declared again, and begins anew with another schedule", () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const job = yield* known()
        const { at: _, decidedUntil, ...same } = job
        yield* history.register([same])
        assert.strictEqual((yield* keptOf(job)).decidedUntil, decidedUntil)
        yield* history.register([{ ...same, schedule: "@hourly" }])
        const changed = yield* keptOf(job)
        assert.strictEqual(changed.schedule, "@hourly")
        assert.isAbove(changed.decidedUntil, job.at(10))
      })
    )

    it.effect("adds, changes and removes jobs that publish, and tells who looks for what has changed", () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const { now } = yield* history.jobs(undefined)
        const job = definition(publishing)
        yield* history.add(job)
        assert.deepInclude(yield* keptOf(job), { ...job, isPaused: false, isRemoved: false })
        yield* history.add({ ...job, publishes: { topic: "bills", payload: "[]" } })
        assert.deepStrictEqual((yield* keptOf(job)).publishes, { topic: "bills", payload: "[]" })
        assert.isTrue(yield* history.remove(job.name))
        assert.isFalse(yield* history.remove(job.name))
        const { jobs } = yield* history.jobs(now)
        assert.isTrue(jobs.find((one) => one.name === job.name)?.isRemoved)
        assert.notInclude(
          (yield* history.jobs(undefined)).jobs.map((one) => one.name),
          job.name
        )
      })
    )

    it.effect("refuses a name that belongs to a job of the other kind", () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const [declared, added] = [definition(), definition(publishing)]
        yield* history.register([declared])
        yield* history.add(added)
        for (const wrong of [
          history.add({ ...added, name: declared.name }),
          history.register([{ ...declared, name: added.name }])
        ])
          assert.strictEqual((yield* Effect.flip(wrong))._tag, "JobNameTaken")
      })
    )

    it.effect("hints at changes", () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const job = definition(publishing)
        // Until it is heard: who listens is listening some time after it was asked to.
        const changing = Effect.forever(Effect.andThen(history.add(job), Effect.yieldNow))
        yield* Effect.raceFirst(Stream.runHead(history.hints), changing).pipe(Effect.timeout("20 seconds"))
      })
    )

    it.effect("holds a run that somebody asks for, unless it was run or another is open", () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const job = yield* known()
        const run = (yield* history.takeNow(patient, job.name, job.at(5))) ?? assert.fail("not held")
        assert.strictEqual(run.scheduledFor, job.at(5))
        assert.strictEqual(yield* history.takeNow(patient, job.name, undefined), undefined)
        yield* recordOne(ending(run))
        assert.strictEqual(yield* history.takeNow(patient, job.name, job.at(5)), undefined)
        const now = yield* history.takeNow(patient, job.name, undefined)
        assert.isTrue((now?.scheduledFor ?? 0) > job.at(10))
        assert.isTrue((yield* history.find(run))?.isManual)
        yield* recordOne(ending(now ?? run))
        // What it was scheduled for is not run a second time.
        const { queued, run: scheduled } = yield* decideOne(proposal(job, [job.at(5)]))
        assert.deepStrictEqual([scheduled, queued], [undefined, 0])
      })
    )

    it.effect("forgets what is old, so many at a time, and nothing that is open", () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const { job, run } = yield* heldRun({ overlap: "queue" })
        yield* decideOne(proposal(job, [job.at(3)], { skip: [job.at(2)] }))
        yield* asked(history.forget(Duration.millis(1), 1000), (count) => count === 0)
        assert.deepStrictEqual(
          (yield* runsOf(job)).map(({ scheduledFor }) => scheduledFor - job.at(0)),
          [3, 1]
        )
        yield* recordOne(ending(run))
        assert.strictEqual(yield* history.forget(Duration.days(1), 1000), 0)
        assert.strictEqual(yield* history.forget(Duration.millis(1), 1), 1)
      })
    )
  })
