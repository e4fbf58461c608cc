/** What the contract of stores of payments does: payments that are made, claimed and changed. */
import { randomUUID } from "node:crypto"
import { assert, type Vitest } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Result } from "effect"
import type { PaymentEvent } from "../../src/domain/PaymentEvent.ts"
import { decide, type PaymentCommand } from "../../src/domain/PaymentIntent.ts"
import { evolve } from "../../src/domain/PaymentState.ts"
import { Outbox } from "../../src/domain/ports/Outbox.ts"
import {
  type ClaimedPayment,
  type NewPayment,
  type Payment,
  PaymentIntents
} from "../../src/domain/ports/PaymentIntents.ts"
import type { StoreError } from "../../src/domain/StoreError.ts"

export type Services = PaymentIntents | Outbox

/** Where a test of the contract is written. */
export type It = Vitest.MethodsNonLive<Services>

export const lease = Duration.minutes(1)
export const soon = { deadline: "30 seconds", every: "5 millis" } as const

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

export const inTransaction: Outbox["Service"]["transaction"] = (work) =>
  Outbox.use((outbox) => outbox.transaction(work)) as never

export const create = (payment: NewPayment) => inTransaction(PaymentIntents.use((payments) => payments.create(payment)))

/** One that is there now. */
export const created = (fields?: Partial<NewPayment["event"]>) =>
  Effect.gen(function* () {
    const payment = newPayment(fields)
    assert.isTrue(yield* create(payment))
    return yield* found(payment.id)
  })

export const found = (id: string): Effect.Effect<Payment, StoreError, PaymentIntents> =>
  Effect.map(
    PaymentIntents.use((payments) => payments.find(id)),
    (payment) => {
      assert.isDefined(payment)
      return payment as Payment
    }
  )

/** What commands come to. */
export const appendOf = (payment: Payment | ClaimedPayment, commands: ReadonlyArray<PaymentCommand>) => {
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

export const append = (payment: Payment | ClaimedPayment, ...commands: ReadonlyArray<PaymentCommand>) =>
  PaymentIntents.use((payments) => payments.append(appendOf(payment, commands)))

export const change = (payment: Payment | ClaimedPayment, ...commands: ReadonlyArray<PaymentCommand>) =>
  inTransaction(append(payment, ...commands))

/** Gives each command by itself, and the payment after the last. */
export const go = Effect.fnUntraced(function* (payment: Payment, ...commands: ReadonlyArray<PaymentCommand>) {
  for (const command of commands) assert.isTrue(yield* change(yield* found(payment.id), command))
  return yield* found(payment.id)
})

export const fail = { _tag: "Fail", reason: "declined" } as const
export const finish = (step: "reserve" | "charge" | "confirm") => ({ _tag: "FinishStep", step }) as const
/** What a payment begins with. */
export const begin = finish("reserve")
export const prepare = (reference: string) => ({ _tag: "PrepareCharge", reference }) as const

export const toSuccess = (reference: string): ReadonlyArray<PaymentCommand> => [
  begin,
  prepare(reference),
  { _tag: "Doubt", reason: "time-out" },
  finish("charge"),
  finish("confirm")
]

export const claim = (id: string, given = lease) => PaymentIntents.use((payments) => payments.claim(id, given))

export const claimed = (id: string, given?: Duration.Duration) =>
  Effect.map(claim(id, given), (payment) => {
    assert.isDefined(payment)
    return payment as ClaimedPayment
  })

/** A transaction that goes on when it is told to, after the work in it is done. */
export const heldOpen = <A, E, R>(work: Effect.Effect<A, E, R>) =>
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
