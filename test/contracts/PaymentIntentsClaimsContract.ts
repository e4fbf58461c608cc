/** What every store of payments promises to who claims one. */
import { assert } from "@effect/vitest"
import { Array as Arr, Duration, Effect } from "effect"
import { type ClaimedPayment, PaymentIntents } from "../../src/domain/ports/PaymentIntents.ts"
import { begin, change, claim, claimed, created, fail, type It, lease, soon } from "../support/PaymentIntentsGround.ts"
import { eventually } from "../support/servers/eventually.ts"

/** Payments in one's hands. */
export const claims = (it: It): void => {
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
}
