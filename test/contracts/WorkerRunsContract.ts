/** What every implementation of runs promises, with the payment store that counts for them, as tests. */
import { randomUUID } from "node:crypto"
import { assert, layer as withLayer } from "@effect/vitest"
import { Array as Arr, Duration, Effect, type Layer } from "effect"
import { PaymentStore, type ReceivedPayment } from "../../src/domain/ports/PaymentStore.ts"
import { WorkerRuns } from "../../src/domain/ports/WorkerRuns.ts"
import { counted, type RunShare, type RunTerms } from "../../src/domain/WorkerRun.ts"
import { eventually } from "../support/servers/eventually.ts"
import { payment } from "./PaymentStoreContract.ts"

const newRun = (maxMessages?: number): RunTerms => ({
  id: `run-${randomUUID()}`,
  queue: `queue-${randomUUID()}`,
  maxMessages
})

const shareOf = (run: RunTerms, lease: Duration.Input = "1 minute"): RunShare => ({
  run,
  holder: randomUUID(),
  lease: Duration.fromInputUnsafe(lease)
})

const payments = (count: number, from = 0): ReadonlyArray<ReceivedPayment> =>
  Arr.makeBy(count, (index) => payment(String(from + index), `p-${from + index}`))

const again = (batch: ReadonlyArray<ReceivedPayment>) => batch.map((one) => ({ ...one, cameAgain: true }))

const claim = (share: RunShare) => WorkerRuns.use((runs) => runs.claim(share))
const progress = (share: RunShare) => WorkerRuns.use((runs) => runs.renew(share))

/** The outcomes of storing for a share. */
const store = (share: RunShare, batch: ReadonlyArray<ReceivedPayment>) =>
  Effect.map(
    PaymentStore.use((payments) => payments.store(share.run.queue, batch, share)),
    (outcomes) => outcomes.map(({ _tag }) => _tag)
  )

/** Waits until a lease is over. */
const untilGranted = (share: RunShare) =>
  eventually(
    Effect.tap(claim(share), ({ left }) => Effect.sync(() => assert.isAbove(left, 0))),
    { deadline: "20 seconds", every: "100 millis" }
  )

/** Runs the whole contract. */
export const suite = <R>(name: string, layer: Layer.Layer<PaymentStore | WorkerRuns | R, unknown>): void =>
  withLayer(layer, { excludeTestServices: true, timeout: "60 seconds" })(`WorkerRuns (${name})`, (it) => {
    it.effect("a run that nobody has begun has counted nothing and is not done", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* progress(shareOf(newRun(10))), {
          totals: { stored: 0, duplicates: 0, deadLettered: 0 },
          isDone: false
        })
      })
    )

    it.effect("counts what is stored, duplicates and dead letters, and is done at its limit, for every process", () =>
      Effect.gen(function* () {
        const run = newRun(5)
        const share = shareOf(run)
        assert.strictEqual((yield* claim(share)).left, 5)
        yield* PaymentStore.use((payments) => payments.store(run.queue, [payment("0", "p-0")]))
        assert.deepStrictEqual(yield* store(share, payments(3)), ["Duplicate", "Stored", "Stored"])
        assert.isTrue(yield* WorkerRuns.use((runs) => runs.countDeadLetters(share, 1)))
        assert.strictEqual((yield* claim(share)).left, 1)
        assert.deepStrictEqual(yield* store(share, payments(1, 3)), ["Stored"])
        const expected = { totals: { stored: 3, duplicates: 1, deadLettered: 1 }, isDone: true }
        assert.deepStrictEqual(yield* claim(share), { ...expected, left: 0, fresh: 0 })
        assert.deepStrictEqual(yield* progress(shareOf(run)), expected)
        assert.deepStrictEqual(yield* claim(shareOf(run)), { ...expected, left: 0, fresh: 0 })
        assert.deepStrictEqual(yield* WorkerRuns.use((runs) => runs.leave(share)), expected)
      })
    )

    it.effect("counts a payment once that it has stored itself, however often it comes again", () =>
      Effect.gen(function* () {
        const share = shareOf(newRun(10))
        yield* claim(share)
        yield* store(share, payments(4))
        assert.deepStrictEqual(yield* store(share, again(payments(6))), [
          ...Arr.replicate("Duplicate", 4),
          ...Arr.replicate("Stored", 2)
        ])
        yield* store(shareOf(share.run), again(payments(6)))
        assert.deepStrictEqual((yield* progress(share)).totals, { stored: 6, duplicates: 0, deadLettered: 0 })
      })
    )

    it.effect("counts a second message of an id, and what another run has stored, as a duplicate", () =>
      Effect.gen(function* () {
        const first = shareOf(newRun(10))
        const second = shareOf({ ...newRun(10), queue: first.run.queue })
        yield* claim(first)
        yield* claim(second)
        assert.deepStrictEqual(yield* store(first, [...payments(2), ...payments(1)]), ["Stored", "Stored", "Duplicate"])
        yield* store(second, again(payments(2)))
        assert.deepStrictEqual((yield* progress(first)).totals, { stored: 2, duplicates: 1, deadLettered: 0 })
        assert.deepStrictEqual((yield* progress(second)).totals, { stored: 0, duplicates: 2, deadLettered: 0 })
      })
    )

    it.effect("leaves conflicts and refused payments to be counted as dead letters", () =>
      Effect.gen(function* () {
        const share = shareOf(newRun(10))
        yield* claim(share)
        yield* store(share, payments(1))
        const batch = [payment("other", "p-0"), payment('"\\u0000"', "p-1"), payment("2", "p-2")].map((one) =>
          one.payload === "other" ? { ...one, payload: '"other"' } : one
        )
        assert.deepStrictEqual(yield* store(share, batch), ["Conflict", "Rejected", "Stored"])
        assert.deepStrictEqual((yield* progress(share)).totals, { stored: 2, duplicates: 0, deadLettered: 0 })
      })
    )

    it.effect("stores nothing of a batch that its share has no room for", () =>
      Effect.gen(function* () {
        const share = shareOf(newRun(3))
        yield* claim(share)
        assert.deepStrictEqual(new Set(yield* store(share, payments(3))), new Set(["Stored"]))
        assert.deepStrictEqual(yield* store(share, payments(1, 3)), ["OutOfShare"])
        assert.isFalse(yield* WorkerRuns.use((runs) => runs.countDeadLetters(share, 1)))
        assert.deepStrictEqual(
          (yield* PaymentStore.use((payments_) => payments_.store(share.run.queue, payments(1, 3)))).map(
            ({ _tag }) => _tag
          ),
          ["Stored"]
        )
        assert.deepStrictEqual((yield* progress(share)).totals, { stored: 3, duplicates: 0, deadLettered: 0 })
      })
    )

    it.effect("never grants many who claim at once more than the run's limit", () =>
      Effect.gen(function* () {
        const run = newRun(1000)
        const shares = Arr.makeBy(8, () => shareOf(run))
        const work = (share: RunShare) =>
          Effect.gen(function* () {
            let taken = 0
            for (let turn = 0; turn < 100; turn++) {
              yield* Effect.yieldNow
              const { fresh } = yield* claim(share)
              if (fresh === 0) return taken
              yield* store(
                share,
                Arr.makeBy(fresh, () => payment("1"))
              )
              taken += fresh
            }
            return taken
          })
        const taken = yield* Effect.forEach(shares, work, { concurrency: "unbounded" })
        assert.strictEqual(
          taken.reduce((one, other) => one + other),
          1000
        )
        assert.isAbove(taken.filter((count) => count > 0).length, 1)
        assert.deepStrictEqual(yield* progress(shareOf(run)), {
          totals: { stored: 1000, duplicates: 0, deadLettered: 0 },
          isDone: true
        })
      })
    )

    it.effect("counts batches of one share that are stored at the same time", () =>
      Effect.gen(function* () {
        const share = shareOf(newRun(100))
        yield* claim(share)
        const batches = Arr.makeBy(10, (index) => payments(10, index * 10))
        yield* Effect.forEach(batches, (batch) => store(share, batch), { concurrency: "unbounded" })
        assert.deepStrictEqual(yield* progress(share), {
          totals: { stored: 100, duplicates: 0, deadLettered: 0 },
          isDone: true
        })
      })
    )

    it.effect("gives what somebody leaves to others, and lets it count nothing more", () =>
      Effect.gen(function* () {
        const run = newRun(50)
        const [first, second] = [shareOf(run), shareOf(run)]
        yield* claim(first)
        yield* store(first, payments(20))
        assert.strictEqual((yield* claim(second)).left, 0)
        const { isDone, totals } = yield* WorkerRuns.use((runs) => runs.leave(first))
        assert.deepStrictEqual([isDone, counted(totals)], [false, 20])
        assert.strictEqual((yield* claim(second)).left, 30)
        assert.deepStrictEqual(yield* store(first, payments(1, 20)), ["OutOfShare"])
        assert.deepStrictEqual(yield* store(second, payments(1, 20)), ["Stored"])
      })
    )

    it.effect("gives what a dead process has claimed to others, and nothing before its lease ends", () =>
      Effect.gen(function* () {
        const run = newRun(50)
        // longer than a busy machine takes for what comes before its end
        const [dead, heir] = [shareOf(run, "5 seconds"), shareOf(run)]
        yield* claim(dead)
        yield* store(dead, payments(20))
        assert.strictEqual((yield* claim(heir)).left, 0)
        assert.strictEqual((yield* untilGranted(heir)).left, 30)
        assert.deepStrictEqual(yield* store(dead, payments(1, 20)), ["OutOfShare"])
        // awake again, it takes part like any other
        assert.strictEqual((yield* claim(dead)).left, 0)
        assert.deepStrictEqual(Arr.dedupe(yield* store(heir, payments(30, 20))), ["Stored"])
        assert.isTrue((yield* claim(dead)).isDone)
      })
    )

    it.effect("a run without a limit is done when all who live are idle, and stays so", () =>
      Effect.gen(function* () {
        const run = newRun()
        const [first, second] = [shareOf(run), shareOf(run)]
        assert.strictEqual((yield* claim(first)).left, Number.POSITIVE_INFINITY)
        yield* claim(second)
        const idle = (share: RunShare) => WorkerRuns.use((runs) => runs.idle(share))
        assert.isFalse(yield* idle(first))
        yield* store(first, payments(1))
        assert.isFalse(yield* idle(second))
        assert.isTrue(yield* idle(first))
        assert.isTrue((yield* claim(second)).isDone)
        assert.isTrue((yield* progress(shareOf(run))).isDone)
      })
    )

    it.effect("an idle process does not wait for one that has left", () =>
      Effect.gen(function* () {
        const run = newRun(1000)
        const [first, second] = [shareOf(run), shareOf(run)]
        yield* claim(first)
        yield* claim(second)
        yield* WorkerRuns.use((runs) => runs.leave(second))
        assert.isTrue(yield* WorkerRuns.use((runs) => runs.idle(first)))
      })
    )

    for (const limit of [undefined, 1000])
      it.effect(`an idle process waits for what a lost one had in hand: the broker has yet to notice (${limit})`, () =>
        Effect.gen(function* () {
          const run = newRun(limit)
          const [lost, heir] = [shareOf(run, 0), shareOf(run)]
          yield* claim(lost)
          yield* claim(heir)
          assert.isFalse(yield* WorkerRuns.use((runs) => runs.idle(heir)))
          // the node is back: its process leaves as others do
          yield* WorkerRuns.use((runs) => runs.leave(lost))
          assert.isTrue(yield* WorkerRuns.use((runs) => runs.idle(heir)))
        })
      )

    it.effect("refuses other terms for a run that was begun", () =>
      Effect.gen(function* () {
        const run = newRun(10)
        yield* claim(shareOf(run))
        for (const other of [
          { ...run, maxMessages: 11 },
          { ...run, maxMessages: undefined },
          { ...run, queue: "other" }
        ]) {
          assert.strictEqual((yield* Effect.flip(claim(shareOf(other))))._tag, "RunMismatch")
          assert.strictEqual((yield* Effect.flip(progress(shareOf(other))))._tag, "RunMismatch")
        }
        assert.strictEqual((yield* claim(shareOf(newRun(10)))).left, 10)
      })
    )
  })
