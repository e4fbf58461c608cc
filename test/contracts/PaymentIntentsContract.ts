/** What every store of payments promises, as tests: run with any layers of it and of the outbox that it belongs to. */
import { randomUUID } from "node:crypto"
import { assert, layer as withLayer } from "@effect/vitest"
import { Array as Arr, Deferred, Duration, Effect, Exit, Fiber, type Layer, Result } from "effect"
import { largest } from "../../src/domain/Money.ts"
import type { PaymentEvent } from "../../src/domain/PaymentEvent.ts"
import { decide, evolve, type PaymentCommand } from "../../src/domain/PaymentIntent.ts"
import { Outbox } from "../../src/domain/ports/Outbox.ts"
import {
  type ClaimedPayment,
  type NewPayment,
  type OverduePayment,
  type Payment,
  PaymentIntents
} from "../../src/domain/ports/PaymentIntents.ts"
import type { Transaction } from "../../src/domain/ports/Transaction.ts"
import type { StoreError } from "../../src/domain/StoreError.ts"
import { eventually } from "../support/servers/eventually.ts"

const lease = Duration.minutes(1)
const soon = { deadline: "10 seconds", every: "5 millis" } as const

export const newPayment = (fields: Partial<NewPayment["event"]> = {}): NewPayment => {
  const id = randomUUID()
  const event = {
    _tag: "Requested",
    amount: 10_000n,
    currency: "BRL",
    paymentMethod: "pm_card_visa",
    orderId: id
  } as const
  return { id, idempotencyKey: `key of ${id}`, event: { ...event, ...fields } }
}

const inTransaction: Outbox["Service"]["transaction"] = (work) =>
  Outbox.use((outbox) => outbox.transaction(work)) as never

const create = (payment: NewPayment) => inTransaction(PaymentIntents.use((payments) => payments.create(payment)))

/** One that is there now. */
export const created = (fields?: Partial<NewPayment["event"]>) =>
  Effect.gen(function* () {
    const payment = newPayment(fields)
    assert.isTrue(yield* create(payment))
    return yield* found(payment.id)
  })

const found = (id: string): Effect.Effect<Payment, StoreError, PaymentIntents> =>
  Effect.map(
    PaymentIntents.use((payments) => payments.find(id)),
    (payment) => {
      assert.isDefined(payment)
      return payment as Payment
    }
  )

/** What commands come to. */
const appendOf = (payment: Payment | ClaimedPayment, commands: ReadonlyArray<PaymentCommand>) => {
  let { state } = payment
  const events: Array<PaymentEvent> = []
  for (const command of commands) {
    const decided = Result.getOrThrow(decide(state, command))
    state = decided.reduce(evolve, state)
    events.push(...decided)
  }
  return {
    id: payment.id,
    version: payment.version,
    token: "token" in payment ? payment.token : undefined,
    events,
    state
  }
}

const append = (payment: Payment | ClaimedPayment, ...commands: ReadonlyArray<PaymentCommand>) =>
  PaymentIntents.use((payments) => payments.append(appendOf(payment, commands)))

const change = (payment: Payment | ClaimedPayment, ...commands: ReadonlyArray<PaymentCommand>) =>
  inTransaction(append(payment, ...commands))

/** Gives each command by itself, and the payment after the last. */
export const go = Effect.fnUntraced(function* (payment: Payment, ...commands: ReadonlyArray<PaymentCommand>) {
  for (const command of commands) assert.isTrue(yield* change(yield* found(payment.id), command))
  return yield* found(payment.id)
})

const fail = { _tag: "Fail", reason: "declined" } as const
const finish = (step: "reserve" | "charge" | "confirm") => ({ _tag: "FinishStep", step }) as const
/** What a payment begins with. */
const begin = finish("reserve")
const prepare = (reference: string) => ({ _tag: "PrepareCharge", reference }) as const

export const toSuccess = (reference: string): ReadonlyArray<PaymentCommand> => [
  begin,
  prepare(reference),
  { _tag: "Doubt", reason: "time-out" },
  finish("charge"),
  finish("confirm")
]

const claim = (id: string, given = lease) => PaymentIntents.use((payments) => payments.claim(id, given))

const claimed = (id: string, given?: Duration.Duration) =>
  Effect.map(claim(id, given), (payment) => {
    assert.isDefined(payment)
    return payment as ClaimedPayment
  })

/** A transaction that goes on when it is told to, after the work in it is done. */
const heldOpen = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const isDone = yield* Deferred.make<void>()
    const mayEnd = yield* Deferred.make<void, string>()
    const running = yield* Effect.forkScoped(
      inTransaction(Effect.tap(work, () => Effect.andThen(Deferred.succeed(isDone, undefined), Deferred.await(mayEnd))))
    )
    yield* Deferred.await(isDone)
    const end = (exit: Exit.Exit<void, string>) =>
      Effect.andThen(Deferred.done(mayEnd, exit), Effect.exit(Fiber.join(running)))
    return { commit: end(Exit.void), rollBack: end(Exit.fail("no")) }
  })

type Services = PaymentIntents | Outbox

/** Runs the whole contract. */
export const suite = (name: string, layer: Layer.Layer<Services, unknown>): void =>
  withLayer(layer, { excludeTestServices: true, timeout: "60 seconds" })(`Payment intents (${name})`, (it) => {
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
          [
            "Requested",
            "Begun",
            "StepFinished",
            "ChargePrepared",
            "Doubted",
            "StepFinished",
            "StepFinished",
            "Succeeded"
          ]
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

    it.effect("are held by one of fifty claims at the same time", () =>
      Effect.gen(function* () {
        const { id } = yield* created()
        const all = yield* Effect.forEach(Arr.range(1, 50), () => claim(id), { concurrency: "unbounded" })
        const [holder, ...others] = all.filter((one) => one !== undefined)
        assert.lengthOf(others, 0)
        assert.isTrue(yield* change(holder as ClaimedPayment, begin))
      })
    )

    it.effect("come to another when a lease is over, and who was late can change nothing any more", () =>
      Effect.gen(function* () {
        const payments = yield* PaymentIntents
        const { id } = yield* created()
        const late = yield* claimed(id, Duration.millis(50))
        const next = yield* eventually(claimed(id), soon)
        assert.isTrue(next.token > late.token)
        assert.isFalse(yield* change(late, begin))
        assert.isFalse(yield* payments.renew(late, lease))
        yield* payments.release(late)
        assert.isUndefined(yield* claim(id))
        assert.isTrue(yield* change(next, begin))
      })
    )

    it.effect("are still their claimant's after the lease, as long as nobody else took them", () =>
      Effect.gen(function* () {
        const payments = yield* PaymentIntents
        const { id } = yield* created()
        const held = yield* claimed(id, Duration.millis(1))
        yield* eventually(
          Effect.map(payments.overdue(Duration.zero, 10_000), (overdue) =>
            assert.include(
              overdue.map((one) => one.id),
              id
            )
          ),
          soon
        )
        assert.isTrue(yield* payments.renew(held, lease))
        assert.isUndefined(yield* claim(id))
        assert.isTrue(yield* change(held, begin))
      })
    )

    it.effect("go to one of many when a lease is over", () =>
      Effect.gen(function* () {
        const { id } = yield* created()
        yield* claimed(id, Duration.millis(1))
        yield* eventually(
          Effect.gen(function* () {
            const all = yield* Effect.forEach(Arr.range(1, 20), () => claim(id), { concurrency: "unbounded" })
            assert.lengthOf(
              all.filter((one) => one !== undefined),
              1
            )
          }),
          soon
        )
      })
    )

    it.effect("can be given back, and are nobody's then", () =>
      Effect.gen(function* () {
        const payments = yield* PaymentIntents
        const { id } = yield* created()
        const before = yield* claimed(id)
        yield* payments.release(before)
        assert.isFalse(yield* change(before, begin))
        assert.isFalse(yield* payments.renew(before, lease))
        const next = yield* claimed(id)
        assert.isTrue(next.token > before.token)
      })
    )

    it.effect("are nobody's any more when they have ended, whoever had them", () =>
      Effect.gen(function* () {
        const payments = yield* PaymentIntents
        for (const isClaimant of [true, false]) {
          const first = yield* created()
          const held = yield* claimed(first.id)
          assert.isTrue(yield* change(isClaimant ? held : first, fail))
          assert.isFalse(yield* payments.renew(held, lease))
          const next = yield* claimed(first.id)
          assert.isTrue(next.token > held.token)
        }
        const held = yield* claimed((yield* created()).id)
        assert.isTrue(yield* change(held, begin))
        assert.isUndefined(yield* claim(held.id))
      })
    )

    it.effect("say how long they are held", () =>
      Effect.gen(function* () {
        const payments = yield* PaymentIntents
        const { id } = yield* created()
        const leftOf = Effect.map(
          payments.list([], 10_000),
          (all) => all.find((one) => one.id === id)?.leaseLeftMillis ?? -1
        )
        assert.strictEqual(yield* leftOf, 0)
        const held = yield* claimed(id, Duration.millis(10))
        assert.isTrue(yield* payments.renew(held, lease))
        const left = yield* leftOf
        assert.isTrue(left > 50_000 && left <= 60_000, `${left}`)
      })
    )

    it.effect("can be changed by who has not claimed them: then the version alone decides", () =>
      Effect.gen(function* () {
        const first = yield* created()
        const held = yield* claimed(first.id)
        assert.isTrue(yield* change(first, fail))
        assert.isFalse(yield* change(held, begin))
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

    it.effect("are overdue while they should go on, nobody has them and nothing is new about them", () =>
      Effect.gen(function* () {
        const payments = yield* PaymentIntents
        const compensating = [begin, fail]
        const older = yield* created()
        const waiting = yield* created()
        const held = yield* created()
        const inDoubt = yield* go(yield* created(), ...toSuccess(`pi_${randomUUID()}`).slice(0, 3))
        const undoing = yield* go(yield* created(), ...compensating)
        const required = yield* go(yield* created(), ...compensating, { _tag: "RequireCompensation" })
        const ended = yield* go(yield* created(), fail)
        yield* claimed(held.id)
        const own = [older, waiting, held, inDoubt, undoing, required, ended].map(({ id }) => id)
        const ownOverdue = (age: Duration.Duration) =>
          Effect.map(payments.overdue(age, 10_000), (overdue) =>
            overdue.map(({ id }) => id).filter((id) => own.includes(id))
          )
        assert.deepStrictEqual(yield* ownOverdue(Duration.hours(1)), [])
        yield* eventually(
          Effect.map(ownOverdue(Duration.millis(20)), (ids) =>
            assert.deepStrictEqual(ids, [older.id, waiting.id, inDoubt.id, undoing.id])
          ),
          soon
        )
        assert.isAtMost((yield* payments.overdue(Duration.zero, 2)).length, 2)
        yield* go(required, { _tag: "ResumeCompensation" })
        assert.include(yield* ownOverdue(Duration.zero), required.id)
      })
    )

    it.effect("are all come by when each look at what is overdue goes on after the one before, changed or not", () =>
      Effect.gen(function* () {
        const payments = yield* PaymentIntents
        const [first, second] = [yield* created(), yield* created()]
        const third = yield* go(yield* created(), begin)
        const own = [first, second, third].map(({ id }) => id)
        const seen: Array<readonly [string, string]> = []
        let after: OverduePayment | undefined
        do {
          const [next, ...more] = yield* payments.overdue(Duration.zero, 1, after)
          assert.lengthOf(more, 0)
          // It goes to the end of all, and the next look to where it was.
          if (next?.id === first.id && next.status === "requested") yield* go(first, begin)
          if (next !== undefined && own.includes(next.id)) seen.push([next.id, next.status])
          after = next
        } while (after !== undefined)
        assert.deepStrictEqual(seen, [
          [first.id, "requested"],
          [second.id, "requested"],
          [third.id, "processing"],
          [first.id, "processing"]
        ])
      })
    )

    it.effect("that are postponed are looked for when that is over, or there is news, and are not stuck before", () =>
      Effect.gen(function* () {
        const payments = yield* PaymentIntents
        const one = yield* claimed((yield* go(yield* created(), begin)).id)
        yield* payments.postpone({ id: one.id, token: one.token - 1n }, Duration.hours(1))
        const isOverdue = Effect.map(payments.overdue(Duration.zero, 10_000), (all) =>
          all.some(({ id }) => id === one.id)
        )
        const isStuck = Effect.map(payments.stuck(Duration.zero, 10_000), (ids) => ids.includes(one.id))
        const postponed = Effect.map(
          payments.list([], 10_000),
          (all) => all.find(({ id }) => id === one.id)?.postponedMillis ?? 0
        )
        assert.strictEqual(yield* postponed, 0)
        yield* payments.postpone(one, Duration.hours(1))
        yield* payments.release(one)
        assert.deepStrictEqual([yield* isOverdue, yield* isStuck], [false, false])
        assert.isAbove(yield* postponed, 3_000_000)
        assert.isAtMost(yield* postponed, 3_600_000)

        const again = yield* claimed(one.id)
        yield* payments.postpone(again, Duration.millis(20))
        yield* payments.release(again)
        yield* eventually(
          Effect.gen(function* () {
            assert.deepStrictEqual([yield* isOverdue, yield* isStuck], [true, true])
          }),
          soon
        )
        const last = yield* claimed(one.id)
        yield* payments.postpone(last, Duration.hours(1))
        yield* payments.release(last)
        yield* go(last, prepare(`pi_${randomUUID()}`))
        assert.deepStrictEqual([yield* isOverdue, yield* isStuck, yield* postponed], [true, true, 0])
      })
    )

    it.effect("are counted as they stand, however many they are", () =>
      Effect.gen(function* () {
        const payments = yield* PaymentIntents
        const before = yield* payments.standing(Duration.hours(1))
        const stuckBefore = (yield* payments.standing(Duration.zero)).stuck
        const compensating = [begin, fail]
        yield* Effect.forEach(Arr.range(1, 3), () =>
          Effect.flatMap(created(), (one) => go(one, ...toSuccess(`pi_${randomUUID()}`).slice(0, 3)))
        )
        yield* go(yield* created(), ...compensating)
        yield* go(yield* created(), ...compensating, { _tag: "RequireCompensation" })
        yield* go(yield* created(), fail)
        yield* claimed((yield* created()).id)
        yield* eventually(
          Effect.gen(function* () {
            const now = yield* payments.standing(Duration.hours(1))
            assert.strictEqual(now.inDoubt, before.inDoubt + 3)
            assert.strictEqual(now.compensating, before.compensating + 2)
            assert.strictEqual(now.required, before.required + 1)
            assert.strictEqual(now.stuck, 0)
            assert.isAbove(now.oldestInDoubtMillis, 0)
            assert.isBelow(now.oldestInDoubtMillis, 600_000)
          }),
          soon
        )
        // Nobody's and not waiting for an operator: those in doubt, and the one that is undone.
        assert.strictEqual((yield* payments.standing(Duration.zero)).stuck, stuckBefore + 4)
        assert.lengthOf(yield* payments.stuck(Duration.zero, 2), 2)
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

    it.effect("are listed by their status, latest first", () =>
      Effect.gen(function* () {
        const payments = yield* PaymentIntents
        const [one, two] = [yield* go(yield* created(), fail), yield* created()]
        yield* eventually(
          Effect.gen(function* () {
            const three = yield* go(yield* created(), begin)
            const own = [one.id, two.id, three.id]
            const listed = (...given: Parameters<typeof payments.list>) =>
              Effect.map(payments.list(...given), (all) => all.map(({ id }) => id).filter((id) => own.includes(id)))
            assert.deepStrictEqual((yield* listed([], 10_000)).slice(0, 1), [three.id])
            assert.deepStrictEqual(yield* listed(["failed"], 10_000), [one.id])
            assert.sameMembers([...(yield* listed(["failed", "processing"], 10_000))], [one.id, three.id])
            assert.lengthOf(yield* payments.list([], 2), 2)
          }),
          soon
        )
      })
    )

    it.effect(
      "are forgotten with their histories when they ended long enough ago, so many at a time, and no others",
      () =>
        Effect.gen(function* () {
          const payments = yield* PaymentIntents
          const old = yield* Effect.forEach(Arr.range(1, 5), () => Effect.flatMap(created(), (one) => go(one, fail)))
          const goesOn = yield* created()
          assert.strictEqual(yield* payments.forget(Duration.hours(1), 10_000), 0)
          const counts: Array<number> = []
          yield* eventually(
            Effect.gen(function* () {
              counts.push(yield* payments.forget(Duration.zero, 2))
              const left = yield* Effect.filter(old, ({ id }) =>
                Effect.map(payments.find(id), (payment) => payment !== undefined)
              )
              assert.deepStrictEqual(left, [])
            }),
            soon
          )
          assert.isTrue(counts.every((count) => count <= 2))
          for (const { id } of old) assert.deepStrictEqual(yield* payments.history(id), [])
          assert.strictEqual((yield* found(goesOn.id)).version, 1)
        })
    )
  })
