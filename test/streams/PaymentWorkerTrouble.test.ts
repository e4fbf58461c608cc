/** The payment worker in trouble that lasts: what it says of it, and how it ends and goes on. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Latch, Layer, Logger, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { BatchReport } from "../../src/domain/BatchReport.ts"
import { Broker, BrokerAway, BrokerError } from "../../src/domain/ports/Broker.ts"
import { PaymentStore, type ReceivedPayment } from "../../src/domain/ports/PaymentStore.ts"
import { StoredPayments } from "../../src/layers/memory/MemoryPaymentStore.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import { Supervisor } from "../../src/streams/Supervisor.ts"
import { deadLetterQueue, drain, ports, process, queue, runWorker, sum } from "../support/MemoryWorker.ts"
import { bytes, message, takeAll, text } from "../support/Messages.ts"

const brokerAway = new BrokerError({ reason: new BrokerAway({ detail: "away" }) })

/** The broker, with a switch that makes one of its operations fail: publishing dead letters, or making queues. */
const troubled = (operation: "publish" | "ensureQueue") =>
  Effect.map(Broker, (broker) => {
    const control = { isAway: true, asked: 0 }
    const guard =
      (name: typeof operation) =>
      <A>(effect: Effect.Effect<A, BrokerError>): Effect.Effect<A, BrokerError> =>
        Effect.suspend(() => {
          if (name !== operation) return effect
          control.asked++
          return control.isAway ? Effect.fail(brokerAway) : effect
        })
    const faulty = Broker.of({
      ...broker,
      publish: (messages) => guard("publish")(broker.publish(messages)),
      ensureQueue: (name) => guard("ensureQueue")(broker.ensureQueue(name))
    })
    return { control, faulty }
  })

/** The worker on that broker, at once under way, and the warnings that it logs. */
const start = (faulty: Broker["Service"], reports: Array<BatchReport> = []) =>
  Effect.gen(function* () {
    const warnings: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      if (logLevel === "Warn") warnings.push(String(message))
    })
    const worker = runWorker({ idleTimeout: undefined }, reports).pipe(
      Effect.provideService(Broker, faulty),
      Effect.provide(Logger.layer([logger]))
    )
    return { warnings, worker: yield* Effect.forkChild(worker, { startImmediately: true }) }
  })

const publish = (...bodies: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const broker = yield* Broker
    yield* broker.ensureQueue(queue)
    yield* broker.ensureQueue(deadLetterQueue)
    yield* broker.publish(bodies.map((body) => message(queue, { body: bytes(body) })))
  })

const bodiesIn = (name: string) => Effect.map(takeAll(name), (all) => all.map(({ body }) => text(body)))
const payloads = Effect.flatMap(StoredPayments, ({ all }) => Effect.map(all, (rows) => rows.map((row) => row.payload)))
const requestShutdown = Effect.flatMap(Shutdown, ({ request }) => request)
const stateOf = (name: string) => Effect.flatMap(Supervisor, ({ states }) => Effect.map(states, (all) => all.get(name)))

const letters = `dead letters to ${deadLetterQueue}`
const stream = `payment worker ${queue}`

const it_ = <E>(
  name: string,
  test: () => Effect.Effect<void, E, Layer.Success<typeof ports> | Layer.Success<typeof process>>
) => it.effect(name, () => test().pipe(Effect.provide(Layer.mergeAll(process, ports))))

describe("The payment worker whose dead letters cannot be published", () => {
  it_("warns once, is failing meanwhile, and goes on when they can be", () =>
    Effect.gen(function* () {
      const { control, faulty } = yield* troubled("publish")
      yield* publish("1", "{", "2", "[")
      const { warnings, worker } = yield* start(faulty)
      yield* TestClock.adjust("10 minutes")
      assert.isAbove(control.asked, 10)
      assert.deepStrictEqual(warnings, ["the dead-letter queue is away: away"])
      assert.strictEqual(yield* stateOf(letters), "failing")
      control.isAway = false
      yield* publish("3")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* stateOf(letters), "running")
      assert.deepStrictEqual(yield* payloads, ["1", "2", "3"])
      assert.deepStrictEqual(yield* bodiesIn(deadLetterQueue), ["{", "["])
      yield* requestShutdown
      yield* Fiber.join(worker)
    })
  )

  it_("ends when asked to stop, with the bad messages given back and the good ones stored and settled", () =>
    Effect.gen(function* () {
      const { faulty } = yield* troubled("publish")
      const reports: Array<BatchReport> = []
      yield* publish("1", "{", "2", "[")
      const { worker } = yield* start(faulty, reports)
      yield* TestClock.adjust("1 minute")
      yield* requestShutdown
      yield* Fiber.join(worker)
      assert.deepStrictEqual(sum(reports), { stored: 2, duplicates: 0, deadLettered: 0, returned: 2 })
      assert.deepStrictEqual(yield* payloads, ["1", "2"])
      assert.deepStrictEqual([yield* bodiesIn(queue), yield* bodiesIn(deadLetterQueue)], [["{", "["], []])
    })
  )
})

describe("The payment worker that cannot start", () => {
  it_("says so once, after the third failure, and is failing until it gets a message", () =>
    Effect.gen(function* () {
      const { control, faulty } = yield* troubled("ensureQueue")
      const { warnings, worker } = yield* start(faulty)
      // The second start comes by 1.2 seconds, the third by 3.6 and the fourth not before 5.6.
      yield* TestClock.adjust("1.2 seconds")
      assert.deepStrictEqual([yield* stateOf(stream), warnings], ["restarting", []])
      yield* TestClock.adjust("2.4 seconds")
      assert.strictEqual(yield* stateOf(stream), "failing")
      assert.strictEqual(warnings.length, 1)
      assert.include(warnings[0], `${stream} does not get on`)
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual([yield* stateOf(stream), warnings.length], ["failing", 1])
      control.isAway = false
      yield* publish("1")
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual([yield* stateOf(stream), yield* payloads], ["running", ["1"]])
      yield* requestShutdown
      yield* Fiber.join(worker)
    })
  )

  it_("ends at once when asked to stop while it waits to start again", () =>
    Effect.gen(function* () {
      const { faulty } = yield* troubled("ensureQueue")
      const { worker } = yield* start(faulty)
      yield* Effect.repeat(Effect.andThen(Effect.yieldNow, stateOf(stream)), {
        until: (state) => state === "restarting"
      })
      yield* requestShutdown
      yield* Fiber.join(worker)
      assert.strictEqual(yield* stateOf(stream), "done")
    })
  )
})

describe("The payment worker whose database says nothing of some payments", () => {
  it_("stores those again, and no other", () =>
    Effect.gen(function* () {
      const store = yield* PaymentStore
      const asked: Array<ReadonlyArray<string>> = []
      const halfDone = (name: string, payments: ReadonlyArray<ReceivedPayment>) =>
        Effect.suspend(() => {
          asked.push(payments.map(({ payload }) => payload))
          const done = Math.ceil(payments.length / 2)
          const undecided = payments.slice(done).map(() => ({ _tag: "Undecided" }) as const)
          return Effect.map(store.store(name, payments.slice(0, done)), (outcomes) => [...outcomes, ...undecided])
        })
      yield* publish("1", '"\\u0000"', "2", "3")
      const report = yield* Effect.provideService(drain(), PaymentStore, { ...store, store: halfDone })
      assert.deepStrictEqual(asked, [["1", '"\\u0000"', "2", "3"], ["2", "3"], ["3"]])
      assert.deepStrictEqual(report, { stored: 3, duplicates: 0, deadLettered: 1, returned: 0 })
      assert.deepStrictEqual(yield* payloads, ["1", "2", "3"])
    })
  )
})

/** The broker with deliveries that fail, all of them, each time that the test says so. */
const lossy = Effect.gen(function* () {
  const broker = yield* Broker
  const lost = yield* Latch.make(false)
  const fail = lost.await.pipe(Effect.andThen(lost.close), Effect.andThen(Effect.fail(brokerAway)))
  const faulty = Broker.of({
    ...broker,
    deliveries: (...asked) => Stream.merge(broker.deliveries(...asked), Stream.fromEffect(fail))
  })
  return { faulty, lose: lost.open }
})

describe("The payment worker that loses its deliveries while it stores them", () => {
  it_("gives them up, and stores each once when it comes again, those without an id too", () =>
    Effect.gen(function* () {
      const { faulty, lose } = yield* lossy
      const store = yield* PaymentStore
      const mayStore = yield* Latch.make(false)
      const slow = PaymentStore.of({
        ...store,
        store: (...asked) => Effect.andThen(mayStore.await, store.store(...asked))
      })
      const reports: Array<BatchReport> = []
      yield* publish("1", "2", "{")
      const { worker } = yield* Effect.provideService(start(faulty, reports), PaymentStore, slow)
      yield* TestClock.adjust("1 second")
      yield* lose
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* stateOf(stream), "running")
      yield* mayStore.open
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* payloads, ["1", "2"])
      assert.deepStrictEqual(yield* bodiesIn(deadLetterQueue), ["{"])
      assert.deepStrictEqual(sum(reports), { stored: 2, duplicates: 0, deadLettered: 1, returned: 0 })
      yield* requestShutdown
      yield* Fiber.join(worker)
    })
  )
})
