/**
 * Random schedules of payments, commands that come twice and out of order, processors that die or freeze, an unsure
 * provider, a cache that forgets and a broker that fails: on memory, with the test's clock.
 */
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Layer, Random } from "effect"
import { commandTopic, processCommand, statusEvents } from "../../src/domain/PaymentMessages.ts"
import { stateOf as stateAfter } from "../../src/domain/PaymentState.ts"
import { Broker } from "../../src/domain/ports/Broker.ts"
import { IdempotencyKeys } from "../../src/domain/ports/IdempotencyKeys.ts"
import { type Payment, PaymentIntents } from "../../src/domain/ports/PaymentIntents.ts"
import { Reservations } from "../../src/domain/ports/Reservations.ts"
import * as MemoryBroker from "../../src/layers/memory/MemoryBroker.ts"
import * as MemoryCrashMarks from "../../src/layers/memory/MemoryCrashMarks.ts"
import { GatewayBooks } from "../../src/layers/memory/MemoryGateway.ts"
import { changeStored } from "../../src/streams/PaymentChanges.ts"
import { elapse, makeBroker, startRelay, type TestBroker } from "../support/OutboxStage.ts"
import { ask, ground, stateOf } from "../support/PaymentGround.ts"
import { type Mood, startProcessor } from "../support/PaymentStage.ts"

const runs = Number(process.env.PAYMENT_SCHEDULES ?? 5)
const firstSeed = process.env.PAYMENT_SEED ?? String(Math.trunc(Math.random() * 1e9))

const methods = [
  "pm_card_visa",
  "pm_card_visa",
  "pm_card_visa",
  "pm_card_chargeDeclined",
  "sandbox_timeout",
  "sandbox_timeout_charged",
  "sandbox_error",
  "sandbox_twice",
  "sandbox_refund_pending"
]

const ends = ["succeeded", "failed", "compensated"]

const steps = 40

const oneOf = <A>(all: ReadonlyArray<A>) =>
  Effect.map(Random.nextIntBetween(0, all.length - 1), (index) => all[index] as A)

const encoder = new TextEncoder()

/** The command once more, as a broker or a person may send it. */
const repeat = Effect.fnUntraced(function* (id: string, commandId: string) {
  const broker = yield* Broker
  const { payload } = processCommand({ id, state: yield* stateOf(id) }, commandId, 0)
  const body = encoder.encode(JSON.stringify(payload))
  const message = { id: undefined, body, headers: { key: id }, contentType: undefined, publishedAtMillis: undefined }
  yield* broker.publish([{ ...message, queue: commandTopic }])
})

/** A customer, a shop and a provider, each with something to say about a payment. */
const meddle = Effect.fnUntraced(function* (id: string, step: number) {
  const chance = yield* Random.next
  const reservations = yield* Reservations
  if (chance < 0.3) return yield* repeat(id, `command-${id}`)
  if (chance < 0.4) return yield* repeat(id, `other-${step}`)
  if (chance < 0.6) {
    const refund = { _tag: "Refund", reason: "requested_by_customer" } as const
    return yield* Effect.ignore(changeStored(id, refund, { commandId: `refund-${step}` }))
  }
  if (chance < 0.7) return yield* reservations.cancel((yield* stateOf(id)).orderId)
  const { charges } = yield* GatewayBooks.use((books) => books.moneyOf(id))
  if (charges > 0) yield* Effect.ignore(changeStored(id, { _tag: "FinishStep", step: "charge" }))
})

const play = Effect.gen(function* () {
  const broker = yield* makeBroker()
  // As the first processor that ever was has made it.
  yield* broker.broker.ensureQueue(commandTopic)
  const relay = yield* startRelay("relay", broker)
  const mood: Mood = { isWell: false }
  let processors = [yield* startProcessor(mood), yield* startProcessor(mood)]
  const ids: Array<string> = []
  for (let step = 1; step <= steps; step++) {
    if ((yield* Random.next) < 0.4) {
      const order = (yield* Random.next) < 0.3 ? { order: `shared-${step % 3}` } : {}
      ids.push(yield* ask({ number: step, method: yield* oneOf(methods), ...order }))
    }
    if (ids.length > 0 && (yield* Random.next) < 0.5) yield* meddle(yield* oneOf(ids), step)
    const victim = yield* oneOf(processors)
    const chance = yield* Random.next
    if (chance < 0.15) {
      yield* victim.kill
      const next = yield* startProcessor(mood)
      processors = processors.map((one) => (one === victim ? next : one))
    } else if (chance < 0.25) yield* victim.freeze
    else if (chance < 0.4) yield* victim.thaw
    else if (chance < 0.45) broker.become("lost")
    else if (chance < 0.7) broker.become("well")
    yield* elapse(Duration.millis(yield* Random.nextIntBetween(0, 8000)))
  }
  broker.become("well")
  mood.isWell = true
  for (const processor of processors) yield* processor.thaw
  yield* elapse("5 minutes")
  // As an operator does: what was alone in hand at one death after the other has killed nobody.
  yield* Effect.forEach(ids, (id) => changeStored(id, { _tag: "LiftQuarantine" }), { discard: true })
  yield* elapse("5 minutes")
  for (const processor of processors) yield* processor.kill
  yield* elapse("1 minute")
  yield* relay.stop
  const found = yield* Effect.forEach(ids, (id) => PaymentIntents.use((intents) => intents.find(id)))
  const payments = found.filter((payment) => payment !== undefined)
  assert.strictEqual(payments.length, ids.length)
  yield* Effect.forEach(payments, checkMoney, { discard: true })
  yield* Effect.forEach(payments, (payment) => checkEvents(broker, payment), { discard: true })
  checkOrders(payments)
  return payments.map(({ state }) => state.status)
})

/** Ended, charged once at most, and what its provider holds is what it says. */
const checkMoney = Effect.fnUntraced(function* ({ id, state }: Payment) {
  assert.include(ends, state.status, `payment ${id} has not ended`)
  const { charged, charges, refunded, refunds } = yield* GatewayBooks.use((books) => books.moneyOf(id))
  assert.isAtMost(charges, 1, `payment ${id} was charged ${charges} times`)
  assert.isAtMost(refunds, 1, `payment ${id} was refunded ${refunds} times`)
  const recorded = state.status === "succeeded" ? state.amount : 0n
  assert.strictEqual(charged - refunded, recorded, `payment ${id} is ${state.status}`)
  assert.strictEqual(charges > 0, state.wasCharged, `payment ${id} is ${state.status}`)
})

/** Its history comes to its state, and each of its statuses was told of, in order. */
const checkEvents = Effect.fnUntraced(function* ({ published }: TestBroker, { id, state }: Payment) {
  const history = yield* PaymentIntents.use((intents) => intents.history(id))
  const events = history.map(({ event }) => event)
  assert.deepStrictEqual(stateAfter(events), state, `the history of payment ${id}`)
  const [first, ...rest] = events
  const begun = stateAfter(first === undefined ? [] : [first])
  assert(begun !== undefined)
  const expected = [
    "payment.events.requested",
    ...statusEvents({ id, state: begun, version: 1 }, rest, 0).map((one) => one.topic)
  ]
  const seen = new Set<string>()
  const told = published.filter((one) => {
    const isFirst = one.message.headers.key === id && !seen.has(one.id)
    seen.add(one.id)
    return isFirst
  })
  assert.deepStrictEqual(
    told.map(({ message }) => message.topic),
    expected,
    `what was told of payment ${id}`
  )
})

/** No order is paid twice. */
const checkOrders = (payments: ReadonlyArray<Payment>) => {
  const paid = payments.filter(({ state }) => state.status === "succeeded").map(({ state }) => state.orderId)
  assert.deepStrictEqual(paid, [...new Set(paid)])
}

/** Forgets everything now and then, and is away now and then, as a cache may. */
const forgetful = Layer.effect(
  IdempotencyKeys,
  Effect.map(IdempotencyKeys, (keys) => ({
    ...keys,
    claim: (request) =>
      Effect.flatMap(Random.next, (chance) =>
        keys.claim(chance < 0.3 ? { ...request, key: `${request.key}-${chance}` } : request)
      )
  }))
)

const world = forgetful.pipe(Layer.provideMerge(Layer.mergeAll(ground, MemoryBroker.layer, MemoryCrashMarks.layer)))

it.effect(
  `In ${runs} random schedules every payment ends, is charged once at most, and what was charged is what is recorded`,
  () =>
    Effect.gen(function* () {
      console.log(`PAYMENT_SEED=${firstSeed}`)
      const seen: Array<string> = []
      for (let run = 0; run < runs; run++) {
        const seed = `${firstSeed}-${run}`
        const statuses = yield* Effect.scoped(play).pipe(
          Effect.provide(world, { local: true }),
          Random.withSeed(seed),
          Effect.onError(() => Effect.sync(() => console.log(`the schedule of seed ${seed} fails`)))
        )
        seen.push(...statuses)
      }
      assert.isAbove(seen.length, runs * 5)
    }),
  { timeout: 120_000 }
)
