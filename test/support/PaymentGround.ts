/** Payments with everything around them in memory: stores, a provider with open books, and an outbox to look into. */
import { it } from "@effect/vitest"
import { type Context, Duration, Effect, Layer, Logger } from "effect"
import type { PaymentState } from "../../src/domain/PaymentState.ts"
import { Outbox } from "../../src/domain/ports/Outbox.ts"
import { PaymentIntents } from "../../src/domain/ports/PaymentIntents.ts"
import * as MemoryGateway from "../../src/layers/memory/MemoryGateway.ts"
import * as MemoryIdempotencyKeys from "../../src/layers/memory/MemoryIdempotencyKeys.ts"
import * as MemoryOutbox from "../../src/layers/memory/MemoryOutbox.ts"
import * as MemoryPaymentIntents from "../../src/layers/memory/MemoryPaymentIntents.ts"
import * as MemoryReservations from "../../src/layers/memory/MemoryReservations.ts"
import { GatewayAccess } from "../../src/streams/GatewayAccess.ts"
import { request } from "../../src/streams/PaymentChanges.ts"
import { PaymentOutlet } from "../../src/streams/PaymentOutlet.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"

export const ground = PaymentOutlet.outbox.pipe(
  Layer.provideMerge(
    Layer.mergeAll(
      MemoryOutbox.layer,
      MemoryPaymentIntents.layer,
      MemoryReservations.layer,
      MemoryGateway.layer,
      MemoryIdempotencyKeys.layer,
      GatewayAccess.telling
    )
  )
)

const world = Layer.merge(ground, Shutdown.layer)

/** A test on a ground of its own, in a process that can be asked to stop. */
export const test = <A, E>(name: string, body: () => Effect.Effect<A, E, Layer.Success<typeof world>>) =>
  it.effect(name, () => Effect.provide(body(), world))

export const options = { lease: Duration.seconds(30), isCompensating: true }

/** Of a sweep that is in no hurry. */
export const sweeping = {
  ...options,
  every: Duration.seconds(5),
  overdueAfter: Duration.seconds(15),
  giveUpAfter: Duration.hours(1),
  stuckAfter: Duration.minutes(15),
  concurrency: 4
}

/** The money of a payment that was charged, never was, or got it back. */
export const once = { charged: 10_000n, refunded: 0n, charges: 1, refunds: 0 }
export const never = { charged: 0n, refunded: 0n, charges: 0, refunds: 0 }
export const back = { charged: 10_000n, refunded: 10_000n, charges: 1, refunds: 1 }

/** What asks for the money back. */
export const refund = { _tag: "Refund", reason: "requested_by_customer" } as const

/** A uuid that is as good as any. */
export const paymentId = (number: number): string => `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`

export interface Asked {
  readonly number?: number
  readonly method?: string
  readonly order?: string
}

/** Asks for a payment of 100.00; gives its id. */
export const ask = Effect.fnUntraced(function* ({ method = "pm_card_visa", number = 1, order }: Asked = {}) {
  const id = paymentId(number)
  const event = {
    _tag: "Requested",
    amount: 10_000n,
    currency: "BRL",
    paymentMethod: method,
    orderId: order ?? `order-${number}`
  } as const
  yield* request({ id, idempotencyKey: `key-${number}`, event }, { commandId: `command-${number}` })
  return id
})

export const stateOf = Effect.fnUntraced(function* (
  id: string
): Effect.fn.Return<PaymentState, unknown, PaymentIntents> {
  const payment = yield* PaymentIntents.use((intents) => intents.find(id))
  return payment?.state ?? (yield* Effect.die(new Error(`no payment ${id}`)))
})

/** The names of what has happened to a payment. */
export const happened = (id: string) =>
  Effect.map(
    PaymentIntents.use((intents) => intents.history(id)),
    (history) => history.map(({ event }) => ("step" in event ? `${event._tag} ${event.step}` : event._tag))
  )

const rules = { maxAttempts: 5, dead: "hold" } as const

/** The topics of what is told of payments, in order. */
export const told = Effect.map(
  Outbox.use((outbox) => outbox.list(rules, { onlyDead: false, limit: 10_000 })),
  (events) => events.map(({ topic }) => topic.replace("payment.events.", ""))
)

/** The money of a payment, as its provider sees it. */
export const money = (id: string) => MemoryGateway.GatewayBooks.use((books) => books.moneyOf(id))

/** What the provider's next requests come to. */
export const scripted = (...script: Parameters<Context.Service.Shape<typeof MemoryGateway.GatewayBooks>["script"]>) =>
  MemoryGateway.GatewayBooks.use((books) => books.script(...script))

export const requests = MemoryGateway.GatewayBooks.use((books) => books.requests)

/** The errors that are logged. */
export const listening = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${String(message)}`))
    yield* Effect.provide(work, Logger.layer([logger]))
    return lines.filter((line) => line.startsWith("Error"))
  })
