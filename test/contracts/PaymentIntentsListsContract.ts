/** What every store of payments promises to who looks for those that wait, that have ended, or all. */
import { randomUUID } from "node:crypto"
import { assert } from "@effect/vitest"
import { Array as Arr, Duration, Effect } from "effect"
import { type OverduePayment, PaymentIntents } from "../../src/domain/ports/PaymentIntents.ts"
import {
  begin,
  claimed,
  created,
  fail,
  found,
  go,
  type It,
  prepare,
  soon,
  toSuccess
} from "../support/PaymentIntentsGround.ts"
import { eventually } from "../support/servers/eventually.ts"

/** Payments by the way they stand. */
export const lists = (it: It): void => {
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

  it.effect(
    "that are overdue say for how long, and those whose money may be under way are found from the latest on",
    () =>
      Effect.gen(function* () {
        const payments = yield* PaymentIntents
        const older = yield* go(yield* created(), begin, fail)
        const plain = yield* go(yield* created(), begin)
        const later = yield* go(yield* created(), ...toSuccess(`pi_${randomUUID()}`).slice(0, 3))
        const held = yield* go(yield* created(), begin, fail)
        yield* claimed(held.id)
        const own = [older, plain, later, held].map(({ id }) => id)
        const of = (all: ReadonlyArray<OverduePayment>) => all.filter(({ id }) => own.includes(id))
        yield* eventually(
          Effect.gen(function* () {
            const unsettled = of(yield* payments.unsettled(Duration.millis(20), 10_000))
            assert.deepStrictEqual(
              unsettled.map(({ id, status }) => [id, status]),
              [
                [later.id, "in_doubt"],
                [older.id, "compensating"]
              ]
            )
            const overdue = of(yield* payments.overdue(Duration.millis(20), 10_000))
            for (const { quietMillis } of [...unsettled, ...overdue]) assert.isAtLeast(quietMillis, 20)
            const quiet = overdue.map(({ quietMillis }) => quietMillis)
            assert.deepStrictEqual(
              quiet,
              quiet.toSorted((one, other) => other - one)
            )
          }),
          soon
        )
        assert.deepStrictEqual(of(yield* payments.unsettled(Duration.hours(1), 10_000)), [])
        assert.isAtMost((yield* payments.unsettled(Duration.zero, 1)).length, 1)
      })
  )

  it.effect("in quarantine are not overdue, and stuck until it is lifted", () =>
    Effect.gen(function* () {
      const payments = yield* PaymentIntents
      const inDoubt = yield* go(yield* created(), ...toSuccess(`pi_${randomUUID()}`).slice(0, 3))
      const { id } = yield* go(inDoubt, { _tag: "Quarantine", reason: "its process died 3 times" })
      const isOverdue = Effect.map(payments.overdue(Duration.zero, 10_000), (all) => all.some((one) => one.id === id))
      const isStuck = Effect.map(payments.stuck(Duration.zero, 10_000), (ids) => ids.includes(id))
      yield* eventually(
        Effect.gen(function* () {
          assert.deepStrictEqual([yield* isOverdue, yield* isStuck], [false, true])
        }),
        soon
      )
      yield* go(inDoubt, { _tag: "LiftQuarantine" })
      yield* eventually(
        Effect.gen(function* () {
          assert.deepStrictEqual([yield* isOverdue, yield* isStuck], [true, true])
        }),
        soon
      )
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
}
