/** What every history of jobs promises of the jobs themselves: who knows of them, and what changes. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Effect, type Layer, Stream } from "effect"
import { JobHistory } from "../../src/domain/ports/JobHistory.ts"
import { decideOne, definition, keptOf, known, proposal, publishing } from "../support/JobSteps.ts"

/** Runs this part of the contract. */
export const suite = (name: string, layer: Layer.Layer<JobHistory, unknown>): void =>
  withLayer(layer, { excludeTestServices: true })(`Jobs in a history (${name})`, (it) => {
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

    it.effect("lists jobs page by page, each once, and the last page to who asks for one beyond", () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const added = definition(publishing)
        yield* history.register(Array.from({ length: 5 }, () => definition()))
        yield* history.add(added)
        yield* history.remove(added.name)
        const { jobs } = yield* history.jobs(undefined)
        const size = 2
        const { pages } = yield* history.page(1, size)
        assert.strictEqual(pages, Math.ceil(jobs.length / size))
        const numbers = Array.from({ length: pages }, (_, index) => index + 1)
        const all = yield* Effect.forEach(numbers, (number) => history.page(number, size))
        const listed = all.flatMap((page) => page.jobs)
        assert.sameDeepMembers(listed, [...jobs])
        assert.isTrue(all.every((page, index) => page.page === index + 1 && page.now > 0))
        const beyond = yield* history.page(pages + 7, size)
        assert.deepStrictEqual([beyond.page, beyond.pages, beyond.jobs], [pages, pages, all.at(-1)?.jobs])
      })
    )

    it.effect("finds a job by its name, unless it was removed", () =>
      Effect.gen(function* () {
        const history = yield* JobHistory
        const job = definition(publishing)
        yield* history.add(job)
        assert.deepInclude(yield* history.job(job.name), job)
        yield* history.remove(job.name)
        assert.strictEqual(yield* history.job(job.name), undefined)
        assert.strictEqual(yield* history.job("nobody"), undefined)
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
  })
