/** What Stripe's library, its errors and the network make of the gateway's promises. */
import { randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer } from "effect"
import { type GatewayError, PaymentGateway } from "../../src/domain/ports/PaymentGateway.ts"
import type { Fault, Operation } from "../support/provider/Faults.ts"
import { Provider, stripeAt } from "../support/StripeStage.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as TcpProxy from "../support/servers/TcpProxy.ts"

const chargeOf = (paymentMethod = "pm_card_visa") => ({
  paymentId: randomUUID(),
  amount: 1050n,
  currency: "BRL",
  paymentMethod
})

const prepared = Effect.fnUntraced(function* (paymentMethod?: string) {
  const charge = chargeOf(paymentMethod)
  const reference = yield* PaymentGateway.use((gateway) => gateway.prepare(charge))
  return { ...charge, reference }
})

const moneyOf = (paymentId: string) =>
  Provider.use(({ report }) =>
    Effect.map(report, ({ payments }) => {
      const { charges = 0, refunds = 0 } = payments[paymentId] ?? {}
      return { charges, refunds }
    })
  )

const requestsOf = (operation: Operation) =>
  Provider.use(({ report }) => Effect.map(report, ({ requests }) => requests[operation] ?? 0))

/** The next request of this payment goes wrong so. */
const fault = (operation: Operation, fault: Fault, paymentId: string, rest = {}) =>
  Provider.use((provider) => provider.fault({ fault, operation, paymentId, ...rest }))

const stage = Layer.provideMerge(Layer.unwrap(Effect.map(Provider, ({ url }) => stripeAt(url))), Provider.layer)

layer(stage, { excludeTestServices: true, timeout: "60 seconds" })("Stripe", (it) => {
  it.effect("is asked with another key, the same for everybody, when it keeps a failure under the first", () =>
    Effect.gen(function* () {
      const gateway = yield* PaymentGateway
      const charge = chargeOf()
      yield* fault("prepare", "error_kept", charge.paymentId)
      assert.strictEqual((yield* Effect.flip(gateway.prepare(charge))).reason._tag, "GatewayAway")
      const reference = yield* gateway.prepare(charge)
      assert.strictEqual(yield* gateway.prepare(charge), reference)

      yield* fault("confirm", "error_kept", charge.paymentId)
      const sent = { ...charge, reference }
      assert.strictEqual((yield* Effect.flip(gateway.confirm(sent))).reason._tag, "GatewayAway")
      assert.deepStrictEqual(yield* gateway.confirm(sent), { _tag: "Charged" })

      yield* fault("refund", "error_kept", charge.paymentId)
      assert.strictEqual((yield* Effect.flip(gateway.refund({ ...sent, attempt: 1 }))).reason._tag, "GatewayAway")
      yield* gateway.refund({ ...sent, attempt: 1 })
      assert.deepStrictEqual(yield* moneyOf(charge.paymentId), { charges: 1, refunds: 1 })
    })
  )

  it.effect("gives money back once what it refused for is mended, whatever it keeps under the key", () =>
    Effect.gen(function* () {
      const gateway = yield* PaymentGateway
      const charge = yield* prepared()
      yield* gateway.confirm(charge)
      yield* fault("refund", "refused_kept", charge.paymentId)
      assert.strictEqual((yield* Effect.flip(gateway.refund({ ...charge, attempt: 1 }))).reason._tag, "GatewayRefused")
      yield* gateway.refund({ ...charge, attempt: 1 })
      yield* gateway.refund({ ...charge, attempt: 1 })
      assert.deepStrictEqual(yield* moneyOf(charge.paymentId), { charges: 1, refunds: 1 })
    })
  )

  it.effect("is looked at after a 5xx, so that one after the effect is no failure", () =>
    Effect.gen(function* () {
      const gateway = yield* PaymentGateway
      const charge = yield* prepared()
      yield* fault("confirm", "error_after", charge.paymentId)
      assert.deepStrictEqual(yield* gateway.confirm(charge), { _tag: "Charged" })
      yield* fault("refund", "error_after", charge.paymentId)
      yield* gateway.refund({ ...charge, attempt: 1 })
      assert.deepStrictEqual(yield* moneyOf(charge.paymentId), { charges: 1, refunds: 1 })
    })
  )

  it.effect("leaves a charge in doubt where a 5xx cannot be looked into", () =>
    Effect.gen(function* () {
      const gateway = yield* PaymentGateway
      const charge = yield* prepared()
      yield* fault("confirm", "error_after", charge.paymentId)
      yield* fault("retrieve", "error", charge.paymentId)
      assert.strictEqual((yield* Effect.flip(gateway.confirm(charge))).reason._tag, "GatewayUnanswered")
      assert.deepStrictEqual(yield* gateway.retrieve(charge.reference), { _tag: "Charged" })
    })
  )

  it.effect("says when it wants to be asked again", () =>
    Effect.gen(function* () {
      const gateway = yield* PaymentGateway
      const charge = yield* prepared()
      yield* fault("confirm", "limited", charge.paymentId, { seconds: 7 })
      const { reason } = yield* Effect.flip(gateway.confirm(charge))
      assert.strictEqual(reason._tag, "GatewayAway")
      assert.strictEqual(reason._tag === "GatewayAway" ? reason.retryAfterMillis : undefined, 7000)
      assert.deepStrictEqual(yield* gateway.confirm(charge), { _tag: "Charged" })
    })
  )

  it.effect.each<readonly [Fault, number]>([
    ["cut", 0],
    ["cut_after", 1],
    ["timeout", 0],
    ["timeout_after", 1]
  ])("is sent a request once, and says that nobody answered: %s", ([what, charges]) =>
    Effect.gen(function* () {
      const gateway = yield* PaymentGateway
      const charge = yield* prepared()
      const before = yield* requestsOf("confirm")
      yield* fault("confirm", what, charge.paymentId)
      assert.strictEqual((yield* Effect.flip(gateway.confirm(charge))).reason._tag, "GatewayUnanswered")
      assert.strictEqual(yield* requestsOf("confirm"), before + 1)
      assert.deepStrictEqual(yield* moneyOf(charge.paymentId), { charges, refunds: 0 })
      assert.deepStrictEqual(yield* gateway.retrieve(charge.reference), { _tag: charges ? "Charged" : "Unconfirmed" })
    })
  )

  it.effect("never charges what was cancelled while the confirmation was on its way", () =>
    Effect.gen(function* () {
      const provider = yield* Provider
      const charge = yield* prepared()
      const before = yield* requestsOf("confirm")
      yield* fault("confirm", "late", charge.paymentId)
      yield* Effect.gen(function* () {
        const gateway = yield* PaymentGateway
        const confirming = yield* Effect.forkChild(gateway.confirm(charge), { startImmediately: true })
        yield* eventually(
          Effect.map(requestsOf("confirm"), (now) => assert.strictEqual(now, before + 1)),
          { deadline: "30 seconds" }
        )
        assert.deepStrictEqual(yield* gateway.cancel(charge.reference), { _tag: "Cancelled" })
        yield* provider.clearFaults
        assert.deepStrictEqual(yield* Fiber.join(confirming), { _tag: "Cancelled" })
      }).pipe(Effect.provide(stripeAt(provider.url, { timeout: Duration.seconds(20) })))
      assert.deepStrictEqual(yield* moneyOf(charge.paymentId), { charges: 0, refunds: 0 })
    })
  )

  it.effect("counts a payer who would have to act as declined", () =>
    Effect.gen(function* () {
      const gateway = yield* PaymentGateway
      const declined = { _tag: "Declined", code: "authentication_required" } as const
      assert.deepStrictEqual(yield* gateway.confirm(yield* prepared("pm_card_authenticationRequired")), declined)
    })
  )

  it.effect("calls off a charge that somebody else made wait for its payer", () =>
    Effect.gen(function* () {
      const gateway = yield* PaymentGateway
      const { url } = yield* Provider
      const { reference } = yield* prepared("pm_card_authenticationRequired")
      const headers = { authorization: "Bearer sk_test_paystream" }
      yield* Effect.promise(() =>
        fetch(`${url}/v1/payment_intents/${reference}/confirm`, { method: "POST", headers, body: "" })
      )
      const declined = { _tag: "Declined", code: "authentication_required" } as const
      assert.deepStrictEqual(yield* gateway.retrieve(reference), declined)
      assert.deepStrictEqual(yield* gateway.retrieve(reference), { _tag: "Cancelled" })
    })
  )

  it.effect("lets nobody in with a wrong key, which no message shows", () =>
    Effect.gen(function* () {
      const { url } = yield* Provider
      const asked = PaymentGateway.use((gateway) => gateway.prepare(chargeOf()))
      const error = yield* Effect.flip(asked).pipe(Effect.provide(stripeAt(url, { key: "sk_live_hunter2" })))
      assert.strictEqual(error.reason._tag, "GatewayUnauthorized")
      assert.isFalse(error.isRetryable)
      assert.include(error.message, "STRIPE_API_KEY")
      assert.notInclude(JSON.stringify(error), "hunter2")
    })
  )

  it.effect.each<Fault>(["unauthorized", "forbidden"])("says of each request that nobody was let in: %s", (what) =>
    Effect.gen(function* () {
      const gateway = yield* PaymentGateway
      const charge = yield* prepared()
      const other = chargeOf()
      const { reference } = charge
      const reasonOf = <A>(operation: Operation, asked: Effect.Effect<A, GatewayError>) =>
        Effect.andThen(
          fault(operation, what, operation === "prepare" ? other.paymentId : charge.paymentId),
          Effect.map(Effect.flip(asked), ({ reason }) => reason._tag)
        )
      const reasons = [
        yield* reasonOf("prepare", gateway.prepare(other)),
        yield* reasonOf("confirm", gateway.confirm(charge)),
        yield* reasonOf("retrieve", gateway.retrieve(reference)),
        yield* reasonOf("cancel", gateway.cancel(reference))
      ]
      yield* gateway.confirm(charge)
      reasons.push(yield* reasonOf("refund", gateway.refund({ ...charge, attempt: 1 })))
      assert.deepStrictEqual([...new Set(reasons)], ["GatewayUnauthorized"])
      assert.deepStrictEqual(yield* moneyOf(charge.paymentId), { charges: 1, refunds: 0 })
    })
  )

  it.effect("is told yen without places, and no part of one", () =>
    Effect.gen(function* () {
      const gateway = yield* PaymentGateway
      const charge = { ...chargeOf(), amount: 50000n, currency: "JPY" }
      yield* gateway.confirm({ ...charge, reference: yield* gateway.prepare(charge) })
      const { payments } = yield* (yield* Provider).report
      assert.strictEqual(payments[charge.paymentId]?.charged, 500)
      const error = yield* Effect.flip(gateway.prepare({ ...chargeOf(), amount: 50050n, currency: "JPY" }))
      assert.strictEqual(error.reason._tag, "GatewayRefused")
    })
  )

  it.effect("is away, and not in doubt, where nobody listens; what was charged is remembered", () =>
    Effect.gen(function* () {
      const gateway = yield* PaymentGateway
      const provider = yield* Provider
      const charge = yield* prepared()
      yield* gateway.confirm(charge)
      const next = yield* prepared()
      yield* provider.kill
      const { reason } = yield* Effect.flip(gateway.confirm(next))
      yield* provider.start
      assert.strictEqual(reason._tag, "GatewayAway")
      assert.deepStrictEqual(yield* gateway.confirm(next), { _tag: "Charged" })
      assert.deepStrictEqual(yield* gateway.confirm(charge), { _tag: "Charged" })
      for (const { paymentId } of [charge, next]) {
        assert.deepStrictEqual(yield* moneyOf(paymentId), { charges: 1, refunds: 0 })
      }
    })
  )

  it.effect("leaves a charge in doubt when the connection freezes", () =>
    Effect.gen(function* () {
      const { port } = yield* Provider
      const proxy = yield* TcpProxy.start({ host: "127.0.0.1", port })
      yield* Effect.gen(function* () {
        const gateway = yield* PaymentGateway
        const charge = yield* prepared()
        yield* proxy.freeze
        assert.strictEqual((yield* Effect.flip(gateway.confirm(charge))).reason._tag, "GatewayUnanswered")
        yield* proxy.heal
        assert.deepStrictEqual(yield* gateway.cancel(charge.reference), yield* gateway.retrieve(charge.reference))
      }).pipe(Effect.provide(stripeAt(`http://127.0.0.1:${proxy.port}`)))
    })
  )
})
