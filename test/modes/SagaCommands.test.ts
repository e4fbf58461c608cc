/** What `sagas list` picks, beside what the database decides. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { PaymentIntents, type PaymentSummary } from "../../src/domain/ports/PaymentIntents.ts"
import { latest, stuck } from "../../src/modes/SagaCommands.ts"

/** So many that give money back by themselves, and before them one that waits for an operator. */
const storeOf = (underWay: number) => {
  const all = Array.from(
    { length: underWay + 1 },
    (_, number) =>
      ({
        id: `payment-${number}`,
        state: { status: "compensating", isCompensationRequired: number === underWay }
      }) as PaymentSummary
  )
  return Layer.mock(PaymentIntents, {
    list: (_, limit) => Effect.succeed(all.slice(0, limit)),
    stuck: (_, limit) => Effect.succeed(all.slice(0, limit).map(({ id }) => id)),
    find: (id) => Effect.succeed(all.find((one) => one.id === id))
  })
}

const idsOf = (payments: ReadonlyArray<PaymentSummary>) => payments.map(({ id }) => id)

describe("sagas list", () => {
  it.effect("finds a payment that waits for an operator behind any number that do not", () =>
    Effect.gen(function* () {
      for (const underWay of [0, 1, 2, 3, 100, 1000]) {
        const found = latest({ status: ["compensation_required"], limit: 2 }).pipe(Effect.provide(storeOf(underWay)))
        assert.deepStrictEqual(idsOf(yield* found), [`payment-${underWay}`])
      }
    })
  )

  it.effect("looks at those that do not get on until it has as many of a status as are asked for", () =>
    Effect.gen(function* () {
      const options = { stuckAfter: Duration.minutes(15) }
      for (const underWay of [0, 1, 2, 3, 100]) {
        const asked = { status: ["compensation_required"], limit: 1 }
        const found = stuck(asked, options).pipe(Effect.provide(storeOf(underWay)))
        assert.deepStrictEqual(idsOf(yield* found), [`payment-${underWay}`])
      }
      const any = stuck({ status: [], limit: 2 }, options).pipe(Effect.provide(storeOf(100)))
      assert.deepStrictEqual(idsOf(yield* any), ["payment-0", "payment-1"])
    })
  )

  it.effect("gives as many as are asked for, the latest", () =>
    Effect.gen(function* () {
      const compensating = latest({ status: ["compensating"], limit: 3 }).pipe(Effect.provide(storeOf(100)))
      assert.deepStrictEqual(idsOf(yield* compensating), ["payment-0", "payment-1", "payment-2"])
      const all = latest({ status: [], limit: 1000 }).pipe(Effect.provide(storeOf(100)))
      assert.lengthOf(yield* all, 101)
    })
  )
})
