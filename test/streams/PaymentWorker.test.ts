import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Duration, Effect, Exit, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import type { BatchReport } from "../../src/domain/BatchReport.ts"
import { Broker, type Delivery } from "../../src/domain/ports/Broker.ts"
import { PaymentStore } from "../../src/domain/ports/PaymentStore.ts"
import { StoreAway, StoreError, StoreRefused } from "../../src/domain/StoreError.ts"
import { StoredPayments } from "../../src/layers/memory/MemoryPaymentStore.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import {
  deadLetterQueue,
  drain,
  ports,
  process,
  queue,
  runClockUntil,
  runWorker,
  sum
} from "../support/MemoryWorker.ts"
import { bytes, message, takeAll, text } from "../support/Messages.ts"

const storeAway = new StoreError({ reason: new StoreAway({ detail: "away", code: "ECONNREFUSED" }) })

/** The store, with a switch that makes it be away, and a count of how often it was asked. */
const switchable = Effect.gen(function* () {
  const store = yield* PaymentStore
  const control = { isAway: false, asked: 0 }
  const faulty = PaymentStore.of({
    ...store,
    store: (name, payments) =>
      Effect.suspend(() => {
        control.asked++
        return control.isAway ? Effect.fail(storeAway) : store.store(name, payments)
      })
  })
  return { control, faulty }
})

const publish = (count: number, from = 0) =>
  Effect.gen(function* () {
    const broker = yield* Broker
    yield* broker.ensureQueue(queue)
    yield* broker.publish(
      Arr.makeBy(count, (index) => message(queue, { id: String(from + index), body: bytes(String(index)) }))
    )
  })

const depth = Effect.flatMap(Broker, (broker) => broker.depth(queue))
const rows = Effect.flatMap(StoredPayments, ({ all }) => all)
const requestShutdown = Effect.flatMap(Shutdown, ({ request }) => request)

const it_ = <E>(
  name: string,
  test: () => Effect.Effect<void, E, Layer.Success<typeof ports> | Layer.Success<typeof process>>
) => it.effect(name, () => test().pipe(Effect.provide(Layer.mergeAll(process, ports))))

describe("The payment worker", () => {
  it_("makes its queues, and ends when nothing came for the idle time", () =>
    Effect.gen(function* () {
      const worker = yield* Effect.forkChild(runWorker({ idleTimeout: Duration.seconds(10) }))
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(worker.pollUnsafe())
      yield* publish(1)
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(worker.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(worker)
      assert.strictEqual((yield* rows).length, 1)
      assert.strictEqual(yield* Effect.flatMap(Broker, (broker) => broker.depth(deadLetterQueue)), 0)
    })
  )

  for (const maxMessages of [1, 3, 4, 5, 11]) {
    it_(`settles exactly ${maxMessages} messages when told so, and leaves the rest in the queue`, () =>
      Effect.gen(function* () {
        yield* publish(20)
        const { stored } = yield* drain({ maxMessages, idleTimeout: undefined })
        assert.deepStrictEqual(
          [stored, (yield* rows).length, yield* depth],
          [maxMessages, maxMessages, 20 - maxMessages]
        )
      })
    )
  }

  it_("counts dead letters and duplicates among the messages it may settle", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      yield* broker.ensureQueue(queue)
      const bodies = ["1", "{", "1", "2", "3"]
      yield* broker.publish(bodies.map((body) => message(queue, { id: "same", body: bytes(body) })))
      const report = yield* drain({ maxMessages: 4, idleTimeout: undefined })
      assert.deepStrictEqual(report, { stored: 1, duplicates: 1, deadLettered: 2, returned: 0 })
      assert.strictEqual(yield* depth, 1)
    })
  )

  it_("sets aside with body, headers, id and reason what cannot be stored", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      yield* broker.ensureQueue(queue)
      const bodies = ["", "{", '"\\u0000"', `"${"x".repeat(1000)}"`, "1", "2"]
      yield* broker.publish(
        bodies.map((body, index) =>
          message(queue, { id: index > 3 ? "same" : String(index), body: bytes(body), headers: { kept: index } })
        )
      )
      yield* drain()
      const letters = yield* takeAll(deadLetterQueue)
      const short = ({ id, body, headers }: Delivery) => [id, text(body), headers["x-paystream-reason"], headers.kept]
      assert.deepStrictEqual(letters.map(short), [
        ["0", "", "empty", 0],
        ["1", "{", "invalid_json", 1],
        ["2", bodies[2], "rejected_by_database", 2],
        ["3", bodies[3], "too_large", 3],
        ["same", "2", "conflict", 5]
      ])
      assert.isTrue(letters.every(({ headers }) => headers["x-paystream-time"] === "1970-01-01T00:00:00.000Z"))
    })
  )

  it_("refuses outright without a dead-letter queue, so that the broker's own policy decides", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      yield* broker.ensureQueue(queue)
      yield* broker.publish([message(queue, { body: bytes("{") }), message(queue)])
      assert.deepStrictEqual(yield* drain({ deadLetterQueue: undefined }), {
        stored: 1,
        duplicates: 0,
        deadLettered: 1,
        returned: 0
      })
      assert.strictEqual(yield* depth, 0)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(broker.depth(deadLetterQueue))))
    })
  )

  it_("makes its dead-letter queue again when somebody has deleted it", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      yield* broker.ensureQueue(queue)
      yield* broker.publish([message(queue, { id: "1", body: bytes("{") })])
      let ensured = 0
      const forgetful = Broker.of({
        ...broker,
        ensureQueue: (name) => (name === deadLetterQueue && ensured++ === 0 ? Effect.void : broker.ensureQueue(name))
      })
      yield* Effect.provideService(drain(), Broker, forgetful)
      assert.deepStrictEqual(
        (yield* takeAll(deadLetterQueue)).map(({ id }) => id),
        ["1"]
      )
    })
  )

  it_("settles nothing while the database is away, takes no more than its prefetch, and goes on when it is back", () =>
    Effect.gen(function* () {
      const { control, faulty } = yield* switchable
      const reports: Array<BatchReport> = []
      yield* publish(40)
      control.isAway = true
      const worker = yield* Effect.forkChild(
        Effect.provideService(runWorker({ prefetch: 12 }, reports), PaymentStore, faulty)
      )
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual([reports.length, (yield* rows).length, yield* depth], [0, 0, 28])
      assert.isBelow(control.asked, 400)
      control.isAway = false
      yield* runClockUntil(worker)
      assert.deepStrictEqual(sum(reports), { stored: 40, duplicates: 0, deadLettered: 0, returned: 0 })
    })
  )

  it_("is not idle while it holds messages that the database cannot take", () =>
    Effect.gen(function* () {
      const { control, faulty } = yield* switchable
      yield* publish(3)
      control.isAway = true
      const worker = yield* Effect.forkChild(Effect.provideService(runWorker(), PaymentStore, faulty))
      yield* TestClock.adjust("1 minute")
      yield* publish(3, 3)
      control.isAway = false
      yield* runClockUntil(worker)
      assert.deepStrictEqual([(yield* rows).length, yield* depth], [6, 0])
    })
  )

  it_("gives back what it holds when it is to stop while the database is away", () =>
    Effect.gen(function* () {
      const { control, faulty } = yield* switchable
      const reports: Array<BatchReport> = []
      yield* publish(10)
      control.isAway = true
      const worker = yield* Effect.forkChild(Effect.provideService(runWorker({}, reports), PaymentStore, faulty))
      yield* TestClock.adjust("1 minute")
      yield* requestShutdown
      yield* Fiber.join(worker)
      assert.deepStrictEqual([sum(reports).stored, (yield* rows).length, yield* depth], [0, 0, 10])
    })
  )

  it_("ends with the error when the database refuses it", () =>
    Effect.gen(function* () {
      const store = yield* PaymentStore
      const refusal = new StoreError({ reason: new StoreRefused({ detail: "wrong password" }) })
      yield* publish(3)
      const refusing = PaymentStore.of({ ...store, store: () => Effect.fail(refusal) })
      const error = yield* Effect.flip(Effect.provideService(runWorker(), PaymentStore, refusing))
      assert.strictEqual(error, refusal)
      assert.strictEqual(yield* depth, 3)
    })
  )
})

describe("The payment worker that is asked to stop", () => {
  it_("ends at once when it waits for messages", () =>
    Effect.gen(function* () {
      const worker = yield* Effect.forkChild(runWorker({ idleTimeout: undefined }), { startImmediately: true })
      yield* requestShutdown
      yield* Fiber.join(worker)
    })
  )

  it_("finishes and settles what is in flight, and gives the rest back unharmed", () =>
    Effect.gen(function* () {
      const store = yield* PaymentStore
      const reports: Array<BatchReport> = []
      yield* publish(40)
      const { request } = yield* Shutdown
      const stopping = PaymentStore.of({
        ...store,
        store: (name, payments) => Effect.andThen(request, Effect.delay(store.store(name, payments), "1 second"))
      })
      const options = { batchSize: 4, batchesInFlight: 1, prefetch: 8 }
      const worker = yield* Effect.forkChild(Effect.provideService(runWorker(options, reports), PaymentStore, stopping))
      yield* runClockUntil(worker)
      const { stored } = sum(reports)
      assert.isTrue(stored >= 4 && stored <= 8, `${stored} stored`)
      assert.deepStrictEqual([(yield* rows).length, yield* depth], [stored, 40 - stored])
    })
  )
})
