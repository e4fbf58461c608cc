/** What every history of jobs promises of runs that are held a moment before their instant. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Effect, type Layer } from "effect"
import { aheadMillis } from "../../src/domain/JobRun.ts"
import { type Holder, type JobDefinition, JobHistory } from "../../src/domain/ports/JobHistory.ts"
import {
  asked,
  decideOne,
  ending,
  hasty,
  heldRun,
  keptOf,
  known,
  patient,
  proposal,
  publishing,
  recordOne,
  runsOf,
  told,
  waitingOf
} from "../support/JobSteps.ts"

const storeNow = Effect.map(
  JobHistory.use((history) => history.jobs(0)),
  ({ now }) => now
)

/** Waits until the instant of a run is over. */
const untilAfter = (at: number) => asked(storeNow, (now) => now > at)

/** A run that is held as long before its instant as may be. */
const heldAhead = Effect.fnUntraced(function* (fields: Partial<JobDefinition> = {}, holder: Holder = patient) {
  const job = yield* known(fields)
  const at = (yield* storeNow) + aheadMillis
  const decision = yield* decideOne(proposal(job, [at]), holder)
  return { job, at, decision, run: decision.run ?? assert.fail("not held") }
})

const neverBegun = { outcome: undefined, isReleased: true } as const

/** Runs this part of the contract. */
export const suite = (name: string, layer: Layer.Layer<JobHistory, unknown>): void =>
  withLayer(layer, { excludeTestServices: true })(`Runs held ahead in a history of jobs (${name})`, (it) => {
    it.effect("are decided as others are, and nobody sees them before their instant", () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const { at, decision, job, run } = yield* heldAhead()
        assert.deepStrictEqual([run.isAhead, run.attempt, run.scheduledFor], [true, 1, at])
        assert.deepInclude(decision, { decidedUntil: at, skipped: 0, queued: 0 })
        assert.strictEqual((yield* keptOf(job)).decidedUntil, at)
        assert.deepStrictEqual(yield* runsOf(job), [])
        assert.deepStrictEqual(yield* history.lastRuns([job.name], 1), [])
        yield* untilAfter(at)
        const seen = (yield* runsOf(job)).map((one) => told(one, job))
        assert.deepStrictEqual(seen, [{ at: at - job.at(0), attempt: 1, isOpen: true, outcome: "going on" }])
        assert.isFalse((yield* heldRun()).run.isAhead)
      })
    )

    it.effect("are given to one of those who ask at the same time", () =>
      Effect.gen(function* () {
        const job = yield* known()
        const at = (yield* storeNow) + aheadMillis
        const asking = Effect.option(decideOne(proposal(job, [at])))
        const answers = yield* Effect.all(
          Array.from({ length: 10 }, () => asking),
          { concurrency: "unbounded" }
        )
        const got = answers.flatMap((answer) => (answer._tag === "Some" ? (answer.value.run ?? []) : []))
        assert.lengthOf(got, 1)
        assert.lengthOf(yield* Effect.andThen(untilAfter(at), runsOf(job)), 1)
      })
    )

    it.effect("are not held while another run is open, nor earlier than a moment before", () =>
      Effect.gen(function* () {
        const { job } = yield* heldRun({ overlap: "queue" })
        const busy = yield* decideOne(proposal(job, [(yield* storeNow) + aheadMillis]))
        const other = yield* known()
        const early = yield* decideOne(proposal(other, [(yield* storeNow) + aheadMillis + 60_000]))
        for (const [{ decidedUntil, queued, run }, { decidedUntil: before }] of [
          [busy, job],
          [early, other]
        ] as const)
          assert.deepStrictEqual([run, queued, decidedUntil], [undefined, 0, before])
      })
    )

    it.effect("are in nobody's way before, and are told as overlapping when they are not alone", () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const { job, run } = yield* heldAhead()
        assert.notInclude(yield* history.overlapping, job.name)
        const other = (yield* history.takeNow(patient, job.name, undefined)) ?? assert.fail("refused")
        assert.isBelow(other.scheduledFor, run.scheduledFor)
        assert.include(yield* history.overlapping, job.name)
        yield* recordOne(ending(other))
        assert.notInclude(yield* history.overlapping, job.name)
        assert.strictEqual(yield* history.takeNow(patient, job.name, run.scheduledFor), undefined)
      })
    )

    it.effect("are let to their holder for a lease that begins at the instant", () =>
      Effect.gen(function* () {
        const { at, job, run } = yield* heldAhead({}, hasty)
        assert.deepStrictEqual(yield* waitingOf(job), [])
        const [taken] = yield* asked(waitingOf(job), ({ length }) => length > 0)
        assert.isAbove(yield* storeNow, at)
        // Nobody knows whether it had begun.
        assert.deepStrictEqual([taken?.attempt, taken?.losses, taken?.isAhead], [2, 1, false])
        assert.deepStrictEqual((yield* recordOne(ending(run))).refused, [run])
      })
    )

    it.effect("are the same attempt, of the same instant, to whoever takes one up that is given back", () =>
      Effect.gen(function* () {
        const { job, run } = yield* heldAhead()
        assert.deepStrictEqual((yield* recordOne(ending({ ...run, attempt: 0 }, neverBegun))).refused, [])
        const [taken] = yield* waitingOf(job)
        assert.deepInclude(taken, { attempt: 1, losses: 0, isAhead: true, scheduledFor: run.scheduledFor })
        assert.isTrue((taken?.fencingToken ?? 0n) > run.fencingToken)
        assert.deepStrictEqual(yield* runsOf(job), [])
      })
    )

    it.effect("are kept as skipped where they do not begin, and with their beginning where they do", () =>
      Effect.gen(function* () {
        const [one, other] = [yield* heldAhead(), yield* heldAhead()]
        const skipped = { outcome: "skipped", error: "withdrawn" } as const
        yield* recordOne(ending({ ...one.run, attempt: 0 }, skipped))
        yield* untilAfter(other.at + 20)
        yield* recordOne(ending(other.run, { startedAt: other.at + 7 }))
        const [kept] = yield* runsOf(one.job)
        assert.deepInclude(kept, { ...skipped, attempt: 0, isOpen: false, startedAt: undefined })
        assert.strictEqual((yield* runsOf(other.job))[0]?.startedAt, other.at + 7)
      })
    )

    it.effect("do not keep another schedule from beginning at once", () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const { at, job, run } = yield* heldAhead(publishing)
        yield* history.pause(job.name, true)
        yield* history.pause(job.name, false)
        assert.strictEqual((yield* keptOf(job)).decidedUntil, at)
        const { at: _, decidedUntil: _until, ...same } = job
        yield* history.add({ ...same, schedule: "* * * * * *" })
        const { decidedUntil } = yield* keptOf(job)
        assert.isBelow(decidedUntil, at)
        yield* untilAfter(at)
        const again = yield* decideOne({ ...proposal(job, [at]), decidedUntil })
        assert.deepStrictEqual([again.run, again.decidedUntil], [undefined, at])
        assert.deepStrictEqual((yield* recordOne(ending(run))).refused, [])
      })
    )
  })
