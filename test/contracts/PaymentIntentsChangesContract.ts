/** What every store of payments promises of their making and of each change. */
import { randomUUID } from "node:crypto"
import { assert } from "@effect/vitest"
import { Array as Arr, Effect, Exit, Fiber } from "effect"
import { largest } from "../../src/domain/Money.ts"
import { Outbox } from "../../src/domain/ports/Outbox.ts"
import { type ClaimedPayment, PaymentIntents } from "../../src/domain/ports/PaymentIntents.ts"
import type { Transaction } from "../../src/domain/ports/Transaction.ts"
import {
  append,
  appendOf,
  begin,
  change,
  claim,
  claimed,
  create,
  created,
  fail,
  found,
  go,
  heldOpen,
  type It,
  inTransaction,
  lease,
  newPayment,
  toSuccess
} from "../support/PaymentIntentsGround.ts"

/** Payments that are stored and changed. */
export const changes = (it: It): void => {
  it.effect("are found as they were asked for, with the beginning of their history", () =>
    Effect.gen(function* () {
      const payments = yield* PaymentIntents
      const given = newPayment({ amount: largest, orderId: `order "é😀" \\ ' ${"x".repeat(200)}` })
      assert.isTrue(yield* create(given))
      const payment = yield* found(given.id)
      assert.deepStrictEqual(
        { id: payment.id, key: payment.idempotencyKey, version: payment.version, state: payment.state },
        {
          id: given.id,
          key: given.idempotencyKey,
          version: 1,
          state: {
            status: "requested",
            amount: largest,
            currency: "BRL",
            paymentMethod: "pm_card_visa",
            orderId: given.event.orderId,
            finished: [],
            reference: undefined,
            wasCharged: false,
            failure: undefined,
            setAside: undefined,
            quarantine: undefined,
            isCompensationRequired: false,
            isRefundPending: false,
            refundFailures: [],
            doubtedRefunds: []
          }
        }
      )
      const history = yield* payments.history(given.id)
      assert.deepStrictEqual(
        history.map(({ event }) => event),
        [given.event]
      )
      assert.isAtMost(Math.abs((history[0]?.atMillis ?? 0) - payment.createdAtMillis), 5000)
    })
  )

  it.effect("stay as they are when one of the same id is created again", () =>
    Effect.gen(function* () {
      const given = newPayment()
      assert.isTrue(yield* create(given))
      assert.isFalse(yield* create({ ...newPayment({ amount: 1n }), id: given.id }))
      assert.strictEqual((yield* found(given.id)).state.amount, 10_000n)
      const [one, ...others] = [newPayment(), newPayment({ amount: 2n }), newPayment({ amount: 3n })]
      const same = [one, ...others].map((payment) => ({ ...payment, id: one?.id ?? "" }))
      const isNew = yield* Effect.forEach(same, create, { concurrency: "unbounded" })
      assert.lengthOf(isNew.filter(Boolean), 1)
    })
  )

  it.effect("are not found where there are none, whatever the id looks like", () =>
    Effect.gen(function* () {
      const payments = yield* PaymentIntents
      for (const id of [randomUUID(), "", "no uuid", "1; DROP TABLE payment_intents"]) {
        assert.isUndefined(yield* payments.find(id))
        assert.isUndefined(yield* payments.claim(id, lease))
        assert.isUndefined(yield* payments.findByReference(id))
        assert.deepStrictEqual(yield* payments.history(id), [])
      }
    })
  )

  it.effect("go through their life step by step, and remember all of it", () =>
    Effect.gen(function* () {
      const payments = yield* PaymentIntents
      const first = yield* created()
      const reference = `pi_${first.id}`
      const payment = yield* go(first, ...toSuccess(reference))
      assert.strictEqual(payment.state.status, "succeeded")
      assert.deepStrictEqual(payment.state.finished, ["reserve", "charge", "confirm"])
      const history = yield* payments.history(first.id)
      assert.deepStrictEqual(
        history.map(({ event }) => event._tag),
        ["Requested", "Begun", "StepFinished", "ChargePrepared", "Doubted", "StepFinished", "StepFinished", "Succeeded"]
      )
      assert.strictEqual(payment.version, history.length)
      const times = history.map(({ atMillis }) => atMillis)
      assert.deepStrictEqual(
        times,
        times.toSorted((one, other) => one - other)
      )
      assert.isAtLeast(payment.updatedAtMillis, payment.createdAtMillis)
      assert.strictEqual((yield* payments.findByReference(reference))?.id, first.id)
    })
  )

  it.effect("take nothing that was decided on an older version", () =>
    Effect.gen(function* () {
      const first = yield* created()
      const later = yield* go(first, begin)
      assert.isFalse(yield* change(first, begin))
      assert.isFalse(yield* change({ ...later, version: later.version + 1 }, fail))
      assert.isFalse(yield* change({ ...later, id: randomUUID() }, fail))
      assert.deepStrictEqual(yield* found(first.id), later)
    })
  )

  it.effect("take one of twenty appends at the same time on the same version", () =>
    Effect.gen(function* () {
      const payments = yield* PaymentIntents
      const first = yield* created()
      const reasons = Arr.makeBy(20, (n) => `reason ${n}`)
      const stored = yield* Effect.forEach(reasons, (reason) => change(first, { _tag: "Fail", reason }), {
        concurrency: "unbounded"
      })
      assert.lengthOf(stored.filter(Boolean), 1)
      const payment = yield* found(first.id)
      assert.strictEqual(payment.state.failure, reasons[stored.indexOf(true)])
      assert.lengthOf(yield* payments.history(first.id), 2)
    })
  )

  it.effect("cannot go where the domain does not let them", () =>
    Effect.gen(function* () {
      const payments = yield* PaymentIntents
      const payment = yield* go(yield* created(), fail)
      const illegal = {
        ...appendOf(payment, []),
        events: [{ _tag: "Begun" }],
        state: { ...payment.state, status: "processing" }
      }
      const error = yield* Effect.flip(inTransaction(payments.append(illegal as never)))
      assert.strictEqual(error.reason._tag, "StoreRefused")
      assert.deepStrictEqual(yield* found(payment.id), payment)
      assert.lengthOf(yield* payments.history(payment.id), 2)
    })
  )

  it.effect("are stored with the outbox's events or not at all", () =>
    Effect.gen(function* () {
      const [payments, outbox] = [yield* PaymentIntents, yield* Outbox]
      const counted = Effect.map(outbox.stats({ maxAttempts: 5, dead: "hold" }), ({ pending }) => pending)
      const event = { topic: "payment.events.failed", payload: {} }
      const payment = yield* created()
      const before = yield* counted
      const given = newPayment()
      const lost = yield* heldOpen(Effect.all([payments.create(given), append(payment, fail), outbox.append(event)]))
      assert.isUndefined(yield* payments.find(given.id))
      assert.deepStrictEqual(yield* found(payment.id), payment)
      assert.isTrue(Exit.isFailure(yield* lost.rollBack))
      assert.isUndefined(yield* payments.find(given.id))
      assert.deepStrictEqual(yield* found(payment.id), payment)
      assert.lengthOf(yield* payments.history(payment.id), 1)
      assert.strictEqual(yield* counted, before)

      const kept = yield* heldOpen(Effect.all([payments.create(given), append(payment, fail), outbox.append(event)]))
      assert.isTrue(Exit.isSuccess(yield* kept.commit))
      assert.strictEqual((yield* found(given.id)).version, 1)
      assert.strictEqual((yield* found(payment.id)).state.status, "failed")
      assert.strictEqual(yield* counted, before + 1)
    }).pipe(Effect.scoped)
  )

  it.effect("make who changes or claims them wait for a change under way, and see it as it was decided", () =>
    Effect.gen(function* () {
      const payments = yield* PaymentIntents
      for (const isKept of [true, false]) {
        const first = yield* created()
        const open = yield* heldOpen(append(first, begin))
        const rival = yield* Effect.forkScoped(change(first, fail))
        const claimant = yield* Effect.forkScoped(claim(first.id))
        yield* isKept ? open.commit : open.rollBack
        assert.strictEqual(yield* Fiber.join(rival), !isKept)
        const held = (yield* Fiber.join(claimant)) as ClaimedPayment
        const history = yield* payments.history(first.id)
        // The claim may have come before the rival's change.
        assert.isAtMost(held.version, history.length)
        if (isKept) assert.deepStrictEqual([held.version, held.state.status], [3, "processing"])
      }
    }).pipe(Effect.scoped)
  )

  it.effect("see in a transaction what was done in it", () =>
    Effect.gen(function* () {
      const payments = yield* PaymentIntents
      const given = newPayment()
      yield* inTransaction(
        Effect.gen(function* () {
          yield* payments.create(given)
          const held = yield* claimed(given.id)
          assert.isTrue(yield* append(held, begin))
          assert.strictEqual((yield* found(given.id)).version, 3)
        })
      )
      assert.strictEqual((yield* found(given.id)).state.status, "processing")
    })
  )

  it.effect("cannot be stored after the end of a transaction", () =>
    Effect.gen(function* () {
      const payments = yield* PaymentIntents
      const kept = yield* inTransaction(Effect.context<Transaction>())
      const exit = yield* Effect.exit(Effect.provideContext(payments.create(newPayment()), kept))
      assert.isTrue(Exit.hasDies(exit))
    })
  )

  it.effect("go on from their end when a refund came to nothing, and from no other", () =>
    Effect.gen(function* () {
      const undo = (step: "confirm" | "charge" | "reserve") => ({ _tag: "UndoStep", step }) as const
      const back = yield* go(
        yield* created(),
        ...toSuccess(`pi_${randomUUID()}`),
        { _tag: "Refund", reason: "requested_by_customer" },
        undo("confirm"),
        { _tag: "AwaitRefund" },
        undo("charge"),
        undo("reserve")
      )
      assert.strictEqual(back.state.status, "compensated")
      const failed = yield* go(
        back,
        { _tag: "DoubtRefund", refund: "re_1" },
        { _tag: "FailRefund", reason: "lost_or_stolen_card" }
      )
      assert.deepStrictEqual(
        [failed.state.status, failed.state.isCompensationRequired, failed.state.refundFailures],
        ["compensating", true, ["lost_or_stolen_card"]]
      )
    })
  )
}
