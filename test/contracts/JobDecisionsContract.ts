/** What every history of jobs promises of occurrences: one run each, whoever asks, in their order. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Array as Arr, Effect, type Layer } from "effect"
import { JobHistory } from "../../src/domain/ports/JobHistory.ts"
import {
  decideOne,
  ending,
  heldRun,
  known,
  patient,
  proposal,
  recordOne,
  runsOf,
  told,
  waitingOf
} from "../support/JobSteps.ts"

/** Runs this part of the contract. */
export const suite = (name: string, layer: Layer.Layer<JobHistory, unknown>): void =>
  withLayer(layer, { excludeTestServices: true })(`Occurrences in a history of jobs (${name})`, (it) => {
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
  })
