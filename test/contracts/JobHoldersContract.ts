/** What every history of jobs promises to who holds a run, and of what is kept of it. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Duration, Effect, type Layer } from "effect"
import { runId } from "../../src/domain/JobRun.ts"
import { JobHistory } from "../../src/domain/ports/JobHistory.ts"
import {
  asked,
  decideOne,
  ending,
  hasty,
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
  withLayer(layer, { excludeTestServices: true })(`Runs in a history of jobs (${name})`, (it) => {
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
        const history = yield* JobHistory
        const { job, run } = yield* heldRun()
        yield* recordOne(ending({ ...run, attempt: 1 }, { outcome: undefined, error: "Error: first\n  at a stack" }))
        const [between] = yield* runsOf(job)
        assert.deepStrictEqual([between?.isOpen, between?.error], [true, "Error: first\n  at a stack"])
        const startedAt = between?.startedAt ?? assert.fail("never begun")
        yield* asked(history.jobs(0), ({ now }) => now > startedAt + 1)
        yield* recordOne(ending({ ...run, attempt: 2 }, { outcome: "failed", error: "second", result: '{"rows":7}' }))
        const [kept] = yield* runsOf(job, true)
        assert.deepInclude(kept, { attempt: 2, outcome: "failed", error: "second", result: '{"rows":7}', replica: "a" })
        assert.strictEqual(kept?.startedAt, startedAt)
        assert.isAbove(kept?.finishedAt ?? 0, startedAt)
        assert.deepStrictEqual(yield* history.lastRuns([job.name, "nobody"], 1), kept === undefined ? [] : [kept])
      })
    )

    it.effect("counts what has become of the newest runs, span by span, and gives the last of each job", () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const job = yield* known()
        // Eight runs, a millisecond apart: the third and the sixth fail, and the last goes on.
        const indexes = [1, 2, 3, 4, 5, 6, 7, 8]
        for (const index of indexes) {
          const run = (yield* history.takeNow(patient, job.name, job.at(index))) ?? assert.fail("not held")
          if (index < 8) yield* recordOne(ending(run, { outcome: index % 3 === 0 ? "failed" : "succeeded" }))
        }
        const asked = { jobs: [job.name, "nobody"], after: job.at(0), until: job.at(20), spanMillis: 4, most: 100 }
        const counted = (query: typeof asked) =>
          Effect.map(history.countRuns(query), (counts) =>
            counts.map(({ count, outcome = "open", span }) => `${span} ${outcome} ${count}`).sort()
          )
        assert.deepStrictEqual(yield* counted(asked), [
          "0 failed 1",
          "0 succeeded 3",
          "1 failed 1",
          "1 open 1",
          "1 succeeded 2"
        ])
        assert.deepStrictEqual(yield* counted({ ...asked, most: 3 }), ["1 failed 1", "1 open 1", "1 succeeded 1"])
        assert.deepStrictEqual(yield* counted({ ...asked, after: job.at(6), until: job.at(7) }), ["0 succeeded 1"])
        assert.deepStrictEqual(
          (yield* history.lastRuns([job.name], 2)).map(({ scheduledFor }) => scheduledFor),
          [job.at(8), job.at(7)]
        )
      })
    )

    it.effect("forgets what was lost, and what nobody has taken over for as long", () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const { run } = yield* heldRun({}, hasty)
        assert.isTrue((yield* history.find(run))?.isOpen)
        assert.strictEqual(yield* history.forget(Duration.days(1), 1000), 0)
        const forgotten = Effect.andThen(history.forget(Duration.millis(1), 1000), history.find(run))
        yield* asked(forgotten, (found) => found === undefined)
      })
    )

    it.effect("forgets what is old, so many at a time, and nothing that waits or goes on", () =>
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
