/** What every implementation of the port promises. */
import { randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, type Layer } from "effect"
import {
  type ChargeStatus,
  type GatewayError,
  PaymentGateway,
  type PreparedCharge,
  type RefundStatus
} from "../../src/domain/ports/PaymentGateway.ts"

/** The money of one payment, as it is counted on the other side of the gateway. */
export interface Counted {
  readonly charges: number
  readonly refunds: number
  /** In minor units. */
  readonly charged: bigint
  readonly refunded: bigint
}

/** Counts behind the gateway's back. */
export class Till extends Context.Service<
  Till,
  { readonly count: (paymentId: string) => Effect.Effect<Counted, unknown> }
>()("paystream/test/Till") {}

const amount = 1050n

const chargeOf = (paymentMethod: string) => ({ paymentId: randomUUID(), amount, currency: "BRL", paymentMethod })

const prepared = Effect.fnUntraced(function* (paymentMethod: string) {
  const charge = chargeOf(paymentMethod)
  const reference = yield* PaymentGateway.use((gateway) => gateway.prepare(charge))
  return { ...charge, reference }
})

const confirm = (charge: PreparedCharge) => PaymentGateway.use((gateway) => gateway.confirm(charge))
const retrieve = (reference: string) => PaymentGateway.use((gateway) => gateway.retrieve(reference))
const cancel = (reference: string) => PaymentGateway.use((gateway) => gateway.cancel(reference))
const refund = (charge: PreparedCharge, attempt = 1) =>
  PaymentGateway.use((gateway) => gateway.refund({ ...charge, attempt }))
const retrieveRefund = (charge: PreparedCharge, attempt = 1) =>
  PaymentGateway.use((gateway) => gateway.retrieveRefund({ ...charge, attempt }))
const count = (paymentId: string) => Till.use((till) => till.count(paymentId))

const nothing: Counted = { charges: 0, refunds: 0, charged: 0n, refunded: 0n }
const once: Counted = { ...nothing, charges: 1, charged: amount }
const backAgain: Counted = { charges: 1, refunds: 1, charged: amount, refunded: amount }

const reasonOf = <A, R>(asked: Effect.Effect<A, GatewayError, R>) =>
  Effect.map(Effect.flip(asked), ({ reason }) => reason._tag)

const charged: ChargeStatus = { _tag: "Charged" }
const refunded: RefundStatus = { _tag: "Refunded" }
const pending: RefundStatus = { _tag: "Pending" }
const cancelled: ChargeStatus = { _tag: "Cancelled" }
const unconfirmed: ChargeStatus = { _tag: "Unconfirmed" }

const times = <A, E, R>(number: number, effect: Effect.Effect<A, E, R>) =>
  Effect.all(
    Array.from({ length: number }, () => effect),
    { concurrency: number }
  )

const nobody: PreparedCharge = { ...chargeOf("pm_card_visa"), reference: "pi_nobody" }

export const suite = <E>(name: string, implementation: Layer.Layer<PaymentGateway | Till, E>) =>
  layer(implementation, { excludeTestServices: true, timeout: "60 seconds" })(`A payment gateway (${name})`, (it) => {
    it.effect("gives one reference for one payment, and takes no money for it", () =>
      Effect.gen(function* () {
        const gateway = yield* PaymentGateway
        const charge = chargeOf("pm_card_visa")
        const references = yield* times(5, gateway.prepare(charge))
        assert.strictEqual(new Set(references).size, 1)
        assert.deepStrictEqual(yield* retrieve(references[0] ?? ""), unconfirmed)
        assert.deepStrictEqual(yield* count(charge.paymentId), nothing)
      })
    )

    it.effect("takes the money once, however often it is told to", () =>
      Effect.gen(function* () {
        const charge = yield* prepared("pm_card_visa")
        assert.deepStrictEqual(yield* times(8, confirm(charge)), Array(8).fill(charged))
        assert.deepStrictEqual(yield* confirm(charge), charged)
        assert.deepStrictEqual(yield* retrieve(charge.reference), charged)
        assert.deepStrictEqual(yield* count(charge.paymentId), once)
      })
    )

    it.effect("answers a decline with a code, the same one whenever it is asked", () =>
      Effect.gen(function* () {
        const charge = yield* prepared("pm_card_chargeDeclined")
        const answer = yield* confirm(charge)
        assert.strictEqual(answer._tag, "Declined")
        assert.match(answer._tag === "Declined" ? answer.code : "", /^\w+$/)
        assert.deepStrictEqual(yield* confirm(charge), answer)
        assert.deepStrictEqual(yield* retrieve(charge.reference), answer)
        assert.deepStrictEqual(yield* count(charge.paymentId), nothing)
      })
    )

    it.effect("says that nobody answered, and afterwards that nothing happened", () =>
      Effect.gen(function* () {
        const charge = yield* prepared("sandbox_timeout")
        assert.strictEqual(yield* reasonOf(confirm(charge)), "GatewayUnanswered")
        assert.deepStrictEqual(yield* retrieve(charge.reference), unconfirmed)
        assert.deepStrictEqual(yield* count(charge.paymentId), nothing)
      })
    )

    it.effect("says that nobody answered, and afterwards that the money was taken", () =>
      Effect.gen(function* () {
        const charge = yield* prepared("sandbox_timeout_charged")
        assert.strictEqual(yield* reasonOf(confirm(charge)), "GatewayUnanswered")
        assert.deepStrictEqual(yield* retrieve(charge.reference), charged)
        assert.deepStrictEqual(yield* cancel(charge.reference), charged)
        assert.deepStrictEqual(yield* confirm(charge), charged)
        assert.deepStrictEqual(yield* count(charge.paymentId), once)
      })
    )

    it.effect("is away for as long as it has to, and has changed nothing", () =>
      Effect.gen(function* () {
        const charge = yield* prepared("sandbox_error")
        for (const _ of [1, 2, 3]) assert.strictEqual(yield* reasonOf(confirm(charge)), "GatewayAway")
        assert.deepStrictEqual(yield* retrieve(charge.reference), unconfirmed)
        assert.deepStrictEqual(yield* count(charge.paymentId), nothing)
      })
    )

    it.effect("charges once when it is back", () =>
      Effect.gen(function* () {
        const charge = yield* prepared("sandbox_twice")
        for (const _ of [1, 2]) assert.strictEqual(yield* reasonOf(confirm(charge)), "GatewayAway")
        assert.deepStrictEqual(yield* confirm(charge), charged)
        assert.deepStrictEqual(yield* count(charge.paymentId), once)
      })
    )

    it.effect("never charges what was cancelled", () =>
      Effect.gen(function* () {
        const charge = yield* prepared("pm_card_visa")
        assert.deepStrictEqual(yield* cancel(charge.reference), cancelled)
        assert.deepStrictEqual(yield* cancel(charge.reference), cancelled)
        assert.deepStrictEqual(yield* confirm(charge), cancelled)
        assert.deepStrictEqual(yield* retrieve(charge.reference), cancelled)
        assert.deepStrictEqual(yield* count(charge.paymentId), nothing)
      })
    )

    it.effect("either charges or cancels what is confirmed and cancelled at the same time, and says which", () =>
      Effect.gen(function* () {
        for (const _ of Array(10)) {
          const charge = yield* prepared("pm_card_visa")
          const answers = yield* Effect.all([confirm(charge), cancel(charge.reference)], { concurrency: 2 })
          const final = yield* retrieve(charge.reference)
          assert.deepStrictEqual(answers, [final, final])
          assert.deepStrictEqual(yield* count(charge.paymentId), final._tag === "Charged" ? once : nothing)
        }
      })
    )

    it.effect("gives the money back once, however often it is told to", () =>
      Effect.gen(function* () {
        const charge = yield* prepared("pm_card_visa")
        yield* confirm(charge)
        assert.isUndefined(yield* retrieveRefund(charge))
        assert.deepStrictEqual(yield* times(5, refund(charge)), Array(5).fill(refunded))
        assert.deepStrictEqual(yield* refund(charge), refunded)
        assert.deepStrictEqual(yield* retrieveRefund(charge), refunded)
        assert.deepStrictEqual(yield* retrieve(charge.reference), { _tag: "Refunded" })
        assert.deepStrictEqual(yield* count(charge.paymentId), backAgain)
      })
    )

    it.effect("says of a refund that it is under way, and that the money is back when it is", () =>
      Effect.gen(function* () {
        const charge = yield* prepared("sandbox_refund_pending")
        yield* confirm(charge)
        assert.deepStrictEqual(yield* refund(charge), pending)
        assert.deepStrictEqual(yield* count(charge.paymentId), once)
        assert.deepStrictEqual(yield* retrieveRefund(charge), pending)
        assert.deepStrictEqual(yield* retrieveRefund(charge), refunded)
        assert.deepStrictEqual(yield* refund(charge), refunded)
        assert.deepStrictEqual(yield* count(charge.paymentId), backAgain)
      })
    )

    it.effect("says of a refund that came to nothing why, and gives the money back at a further attempt only", () =>
      Effect.gen(function* () {
        const charge = yield* prepared("sandbox_refund_fails")
        yield* confirm(charge)
        assert.deepStrictEqual(yield* refund(charge), pending)
        assert.deepStrictEqual(yield* retrieveRefund(charge), pending)
        const failed = yield* retrieveRefund(charge)
        assert.strictEqual(failed?._tag, "Failed")
        assert.match(failed?._tag === "Failed" ? failed.code : "", /^\w+$/)
        assert.deepStrictEqual(yield* refund(charge), failed)
        assert.deepStrictEqual(yield* count(charge.paymentId), once)
        assert.deepStrictEqual(yield* times(3, refund(charge, 2)), Array(3).fill(refunded))
        assert.deepStrictEqual(yield* retrieveRefund(charge, 2), refunded)
        assert.deepStrictEqual(yield* count(charge.paymentId), backAgain)
      })
    )

    it.effect("does not charge again what went back", () =>
      Effect.gen(function* () {
        const charge = yield* prepared("pm_card_visa")
        yield* confirm(charge)
        yield* refund(charge)
        yield* confirm(charge)
        assert.deepStrictEqual(yield* cancel(charge.reference), { _tag: "Refunded" })
        assert.deepStrictEqual(yield* count(charge.paymentId), backAgain)
      })
    )

    it.effect("gives back nothing that it has not taken", () =>
      Effect.gen(function* () {
        const charge = yield* prepared("pm_card_visa")
        assert.strictEqual(yield* reasonOf(refund(charge)), "GatewayRefused")
        yield* cancel(charge.reference)
        assert.strictEqual(yield* reasonOf(refund(charge)), "GatewayRefused")
        assert.deepStrictEqual(yield* count(charge.paymentId), nothing)
      })
    )

    it.effect("refuses a payment method that it does not know, and does not repeat it", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(prepared("pm_secret_of_ann"))
        assert.strictEqual(error.reason._tag, "GatewayRefused")
        assert.isFalse(error.isRetryable)
        assert.notInclude(JSON.stringify(error), "ann")
      })
    )

    it.effect("refuses references that it never gave", () =>
      Effect.gen(function* () {
        const { reference } = nobody
        for (const asked of [retrieve(reference), cancel(reference), confirm(nobody), refund(nobody)]) {
          assert.strictEqual(yield* reasonOf<unknown, PaymentGateway>(asked), "GatewayRefused")
        }
      })
    )
  })
