import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Duration, Effect, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Broker } from "../../src/domain/ports/Broker.ts"
import { PaymentStore } from "../../src/domain/ports/PaymentStore.ts"
import { WorkerRuns } from "../../src/domain/ports/WorkerRuns.ts"
import { StoreAway, StoreError } from "../../src/domain/StoreError.ts"
import type { RunShare } from "../../src/domain/WorkerRun.ts"
import { StoredPayments } from "../../src/layers/memory/MemoryPaymentStore.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import { ports, process, queue, runClockUntil, runWorker } from "../support/MemoryWorker.ts"
import { bytes, message } from "../support/Messages.ts"

const shareOf = (holder: string, maxMessages?: number): RunShare => ({
  run: { id: "run", queue, maxMessages },
  holder,
  lease: Duration.seconds(15)
})

const publish = (bodies: ReadonlyArray<string>, from = 0) =>
  Effect.gen(function* () {
    const broker = yield* Broker
    yield* broker.ensureQueue(queue)
    yield* broker.publish(bodies.map((body, index) => message(queue, { id: `${from + index}`, body: bytes(body) })))
  })

const numbers = (count: number) => Arr.makeBy(count, String)

const depth = Effect.flatMap(Broker, (broker) => broker.depth(queue))
const rows = Effect.flatMap(StoredPayments, ({ all }) => all)
const progress = WorkerRuns.use((runs) => runs.leave(shareOf("nobody")))

/** A process that takes part: it can be asked to stop by itself. */
const start = (share: RunShare, idleTimeout?: Duration.Duration) =>
  Effect.gen(function* () {
    const shutdown = yield* Layer.build(Layer.fresh(Shutdown.layer))
    const reports: Array<{ readonly stored: number }> = []
    const fiber = yield* Effect.forkChild(
      Effect.provideContext(runWorker({ share, idleTimeout }, reports as never), shutdown)
    )
    const stop = Effect.provideContext(
      Effect.flatMap(Shutdown, ({ request }) => request),
      shutdown
    )
    return { fiber, stop, stored: () => reports.reduce((sum, { stored }) => sum + stored, 0) }
  })

const scoped = <A, E, R>(test: Effect.Effect<A, E, R>) =>
  Effect.provide(Effect.scoped(test), Layer.mergeAll(process, ports), { local: true })

const storeAway = new StoreError({ reason: new StoreAway({ detail: "away", code: "ECONNREFUSED" }) })

describe("Payment workers in a run", () => {
  it.effect("settle what is left of the limit, and do nothing once it is done", () =>
    scoped(
      Effect.gen(function* () {
        yield* publish(numbers(20))
        yield* runClockUntil((yield* start(shareOf("a", 15))).fiber)
        assert.deepStrictEqual([(yield* rows).length, yield* depth], [15, 5])
        const later = yield* start(shareOf("b", 15))
        yield* runClockUntil(later.fiber)
        assert.deepStrictEqual([later.stored(), yield* depth], [0, 5])
      })
    )
  )

  it.effect("without a limit they end when all find nothing more to do", () =>
    scoped(
      Effect.gen(function* () {
        yield* publish(numbers(20))
        const workers = yield* Effect.forEach(["a", "b"], (one) => start(shareOf(one), Duration.seconds(5)))
        for (const { fiber } of workers) yield* runClockUntil(fiber)
        assert.deepStrictEqual((yield* progress).totals, { stored: 20, duplicates: 0, deadLettered: 0 })
        assert.isTrue((yield* progress).isDone)
      })
    )
  )

  it.effect("count once what was committed though the answer never came", () =>
    scoped(
      Effect.gen(function* () {
        const store = yield* PaymentStore
        let failures = 2
        const forgetful = PaymentStore.of({
          ...store,
          store: (name, payments, share) =>
            Effect.filterOrFail(
              store.store(name, payments, share),
              () => failures-- <= 0,
              () => storeAway
            )
        })
        yield* publish(numbers(20))
        const worker = Effect.provideService(start(shareOf("a", 15)), PaymentStore, forgetful)
        yield* runClockUntil((yield* worker).fiber)
        assert.deepStrictEqual((yield* progress).totals, { stored: 15, duplicates: 0, deadLettered: 0 })
        assert.deepStrictEqual([(yield* rows).length, yield* depth], [15, 5])
      })
    )
  )

  it.effect("give back what they have when their share is another's by then, and take part again", () =>
    scoped(
      Effect.gen(function* () {
        const store = yield* PaymentStore
        const runs = yield* WorkerRuns
        let isAwake = false
        const drowsy = PaymentStore.of({
          ...store,
          store: (name, payments, share) =>
            Effect.gen(function* () {
              if (!isAwake) yield* runs.leave(share ?? shareOf("nobody"))
              isAwake = true
              return yield* store.store(name, payments, share)
            })
        })
        yield* publish(numbers(20))
        const worker = yield* Effect.provideService(start(shareOf("a", 15)), PaymentStore, drowsy)
        yield* runClockUntil(worker.fiber)
        assert.deepStrictEqual([(yield* rows).length, yield* depth], [15, 5])
        assert.strictEqual(worker.stored(), 15)
      })
    )
  )

  it.effect.prop(
    "settle exactly the limit together, whenever one is stopped or dies",
    {
      limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 300 })),
      more: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 })),
      ends: Schema.Array(
        Schema.Struct({
          after: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 })),
          dies: Schema.Boolean
        })
      ).check(Schema.isMaxLength(4))
    },
    ({ ends, limit, more }) =>
      scoped(
        Effect.gen(function* () {
          const bodies = Arr.makeBy(limit + more, (index) => (index % 7 === 3 ? "{" : String(index)))
          yield* publish(bodies)
          for (const [index, { after, dies }] of ends.entries()) {
            const worker = yield* start(shareOf(`early-${index}`, limit))
            for (let turn = 0; turn < after; turn++) yield* Effect.yieldNow
            yield* dies ? Fiber.interrupt(worker.fiber) : worker.stop
            if (!dies) yield* runClockUntil(worker.fiber)
          }
          const last = yield* Effect.forEach(["a", "b", "c"], (one) => start(shareOf(one, limit)))
          for (const { fiber } of last) yield* runClockUntil(fiber)
          const { isDone, totals } = yield* progress
          assert.isTrue(isDone)
          assert.strictEqual(totals.stored, (yield* rows).length)
          assert.strictEqual(totals.stored + totals.duplicates + totals.deadLettered, limit)
          assert.isAtLeast(yield* depth, more)
        })
      ),
    { arbitrary: { runs: 40 } }
  )

  it.effect("renew their lease while there is nothing to do, so that nobody inherits from the living", () =>
    scoped(
      Effect.gen(function* () {
        yield* publish(numbers(5))
        const living = yield* start(shareOf("a", 15))
        for (let second = 0; second < 60; second++) yield* TestClock.adjust("1 second")
        const runs = yield* WorkerRuns
        assert.strictEqual((yield* runs.claim(shareOf("b", 15))).left, 0)
        yield* publish(numbers(10), 5)
        yield* runClockUntil(living.fiber)
        assert.strictEqual(living.stored(), 15)
      })
    )
  )
})
