/**
 * The sandbox in memory, for tests of what is built on the port: its books are open, and faults come as a test wants them.
 *
 * ## Guarantees
 * - Those of the port, as long as the layer lives. No clock and no chance.
 * - A fault happens to the request that it was scripted for, and to no other.
 */
import { Context, Effect, Layer } from "effect"
import {
  GatewayAway,
  GatewayError,
  GatewayRefused,
  GatewayUnanswered,
  GatewayUnauthorized,
  PaymentGateway,
  type PreparedCharge
} from "../../domain/ports/PaymentGateway.ts"
import * as Sandbox from "../../domain/Sandbox.ts"

export type GatewayOperation = "prepare" | "confirm" | "retrieve" | "cancel" | "refund" | "retrieveRefund"

/** What goes wrong: before the request has its effect, or after. */
export type GatewayFault = "away" | "refused" | "unauthorized" | "lost" | "answer lost"

/** The money of one payment, in minor units, and how often it moved. */
export interface Money {
  readonly charged: bigint
  readonly refunded: bigint
  readonly charges: number
  readonly refunds: number
}

/** The other side of the gateway. */
export class GatewayBooks extends Context.Service<
  GatewayBooks,
  {
    readonly moneyOf: (paymentId: string) => Effect.Effect<Money>
    /** By payment id, of all whose charge was ever prepared. */
    readonly money: Effect.Effect<ReadonlyMap<string, Money>>
    /** The requests so far, faulty ones included. */
    readonly requests: Effect.Effect<ReadonlyArray<GatewayOperation>>
    /** The money of a refund comes back, which was said to be done: the payer's bank has not taken it. */
    readonly failRefund: (paymentId: string) => Effect.Effect<void>
    /** The next requests of this kind go wrong so, one after the other. */
    readonly script: (operation: GatewayOperation, ...faults: ReadonlyArray<GatewayFault>) => Effect.Effect<void>
  }
>()("paystream/layers/memory/GatewayBooks") {}

interface Row {
  readonly charge: PreparedCharge
  state: Sandbox.SandboxCharge
  money: Money
}

const nothing: Money = { charged: 0n, refunded: 0n, charges: 0, refunds: 0 }

const errors: Readonly<Record<GatewayFault, GatewayError>> = {
  away: new GatewayError({ reason: new GatewayAway({ detail: "scripted to be away", retryAfterMillis: undefined }) }),
  refused: new GatewayError({ reason: new GatewayRefused({ detail: "scripted to refuse" }) }),
  unauthorized: new GatewayError({ reason: new GatewayUnauthorized({ detail: "scripted to let nobody in" }) }),
  lost: new GatewayError({ reason: new GatewayUnanswered({ detail: "scripted to be lost" }) }),
  "answer lost": new GatewayError({ reason: new GatewayUnanswered({ detail: "scripted to lose the answer" }) })
}

/** Requests that go wrong as they were told to, and are remembered. */
const makeFaults = () => {
  const scripts = new Map<GatewayOperation, Array<GatewayFault>>()
  const requests: Array<GatewayOperation> = []

  const faulty = <A>(operation: GatewayOperation, request: Effect.Effect<A, GatewayError>) =>
    Effect.suspend(() => {
      requests.push(operation)
      const fault = scripts.get(operation)?.shift()
      if (fault === undefined) return request
      return fault === "answer lost" ? Effect.andThen(request, Effect.fail(errors[fault])) : Effect.fail(errors[fault])
    })
  const script: GatewayBooks["Service"]["script"] = (operation, ...faults) =>
    Effect.sync(() => void scripts.set(operation, [...(scripts.get(operation) ?? []), ...faults]))
  return { faulty, script, requests: Effect.sync(() => [...requests]) }
}

const moved = ({ charge, money, state }: Row, next: Sandbox.SandboxCharge): Money => {
  if (state.status === "Unconfirmed" && next.status === "Charged") {
    return { ...money, charged: money.charged + charge.amount, charges: money.charges + 1 }
  }
  if (state.status !== "Refunded" && next.status === "Refunded") {
    return { ...money, refunded: money.refunded + charge.amount, refunds: money.refunds + 1 }
  }
  return money
}

const make = () => {
  const rows = new Map<string, Row>()
  const { faulty, requests, script } = makeFaults()

  const change = <A>(reference: string, decide: (row: Row) => Sandbox.SandboxAnswer<A>) =>
    Effect.suspend((): Effect.Effect<A, GatewayError> => {
      const row = rows.get(reference)
      if (row === undefined) return Effect.fail(Sandbox.unknownReference)
      const { charge, heard } = decide(row)
      row.money = moved(row, charge)
      row.state = charge
      return Effect.fromResult(heard)
    })
  const gateway = PaymentGateway.of({
    kind: "memory",
    prepare: (charge) =>
      faulty(
        "prepare",
        Effect.map(Effect.fromResult(Sandbox.prepared(charge.paymentMethod)), (state) => {
          const reference = Sandbox.referenceOf(charge.paymentId)
          if (!rows.has(reference)) rows.set(reference, { charge: { ...charge, reference }, state, money: nothing })
          return reference
        })
      ),
    confirm: ({ reference }) =>
      faulty(
        "confirm",
        change(reference, ({ charge, state }) => Sandbox.confirm(charge.paymentMethod, state))
      ),
    retrieve: (reference) =>
      faulty(
        "retrieve",
        change(reference, ({ state }) => Sandbox.look(state))
      ),
    cancel: (reference) =>
      faulty(
        "cancel",
        change(reference, ({ state }) => Sandbox.cancel(state))
      ),
    refund: ({ attempt, reference }) =>
      faulty(
        "refund",
        change(reference, ({ charge, state }) => Sandbox.refund(charge.paymentMethod, attempt, state))
      ),
    retrieveRefund: ({ reference }) =>
      faulty(
        "retrieveRefund",
        change(reference, ({ charge, state }) => Sandbox.lookRefund(charge.paymentMethod, state))
      )
  })
  const books = GatewayBooks.of({
    moneyOf: (paymentId) => Effect.sync(() => rows.get(Sandbox.referenceOf(paymentId))?.money ?? nothing),
    money: Effect.sync(() => new Map([...rows.values()].map(({ charge, money }) => [charge.paymentId, money]))),
    failRefund: (paymentId) =>
      Effect.sync(() => {
        const row = rows.get(Sandbox.referenceOf(paymentId))
        if (row?.state.status !== "Refunded") return
        row.state = { ...row.state, status: "RefundFailed" }
        row.money = { ...row.money, refunded: row.money.refunded - row.charge.amount, refunds: row.money.refunds - 1 }
      }),
    requests,
    script
  })
  return Context.make(PaymentGateway, gateway).pipe(Context.add(GatewayBooks, books))
}

/** A provider of its own for each use of the layer. */
export const layer: Layer.Layer<PaymentGateway | GatewayBooks> = Layer.syncContext(make)
