/**
 * Changes of a payment: what is decided, its history and what is told of it are committed in one transaction.
 *
 * ## Guarantees
 * - A change is stored after the history that it was decided on, or not at all (`undefined`: superseded).
 * - No change is told of that is not stored; with the outbox, none is stored that is not told of.
 */
import { Clock, Effect } from "effect"
import type { NewEvent } from "../domain/OutboxEvent.ts"
import type { PaymentEvent } from "../domain/PaymentEvent.ts"
import { decide, type IllegalTransition, type PaymentCommand } from "../domain/PaymentIntent.ts"
import { processCommand, statusEvent, statusEvents } from "../domain/PaymentMessages.ts"
import { evolve, requested } from "../domain/PaymentState.ts"
import { type NewPayment, type Payment, PaymentIntents } from "../domain/ports/PaymentIntents.ts"
import type { StoreError } from "../domain/StoreError.ts"
import { cameTo, refundFailed } from "./PaymentIntentMetrics.ts"
import { PaymentOutlet } from "./PaymentOutlet.ts"

/** The payment in hand; with the token of the claim, if it was claimed. */
type InHand = Payment & { readonly token?: bigint }

/** What a change leaves to do beside it. */
export interface ChangeOptions {
  /** Of a `ProcessPayment` command that is to go out with the change, for somebody else to go on with it. */
  readonly commandId?: string | undefined
}

/**
 * Stores a payment that is asked for, and tells of it; with `commandId`, together with the command that processes it.
 * `false` if there is one of that id: then nothing is stored, and nothing told.
 */
export const request = Effect.fn("Payments.request")(function* (
  payment: NewPayment,
  { commandId }: ChangeOptions = {}
): Effect.fn.Return<boolean, StoreError, PaymentIntents | PaymentOutlet> {
  const intents = yield* PaymentIntents
  const outlet = yield* PaymentOutlet
  const now = yield* Clock.currentTimeMillis
  const told = { id: payment.id, state: requested(payment.event) }
  const command = commandId === undefined ? [] : [processCommand(told, commandId, now)]
  const isNew = yield* outlet.commit(
    Effect.map(intents.create(payment), (value) => ({
      value,
      events: value ? [statusEvent(told, 1, now), ...command] : []
    }))
  )
  if (isNew) yield* cameTo(payment.id, told.state)
  return isNew
})

/**
 * Decides a command on the payment as it is in hand, and stores what comes of it. Gives the payment as it is then; the
 * same one where the command had happened before; `undefined` if it was superseded: somebody else has changed it, or
 * the claim is lost. Fails with `IllegalTransition` where the payment cannot take the command.
 */
export const change = Effect.fn("Payments.change")(function* <P extends InHand>(
  payment: P,
  command: PaymentCommand,
  options: ChangeOptions = {}
): Effect.fn.Return<P | undefined, StoreError | IllegalTransition, PaymentIntents | PaymentOutlet> {
  const events = yield* Effect.fromResult(decide(payment.state, command))
  if (events.length === 0) return payment
  return yield* store(payment, events, options)
})

const store = Effect.fnUntraced(function* <P extends InHand>(
  payment: P,
  events: ReadonlyArray<PaymentEvent>,
  { commandId }: ChangeOptions
) {
  const intents = yield* PaymentIntents
  const outlet = yield* PaymentOutlet
  const now = yield* Clock.currentTimeMillis
  const { id, token, version } = payment
  const changed: P = { ...payment, state: events.reduce(evolve, payment.state), version: version + events.length }
  const told: ReadonlyArray<NewEvent> = [
    ...statusEvents(payment, events, now),
    ...(commandId === undefined ? [] : [processCommand(changed, commandId, now)])
  ]
  const isStored = yield* outlet.commit(
    Effect.map(intents.append({ id, version, token, events, state: changed.state }), (value) => ({
      value,
      events: value ? told : []
    }))
  )
  if (!isStored) return undefined
  if (changed.state.status !== payment.state.status) yield* cameTo(id, changed.state)
  yield* Effect.forEach(
    events,
    (event) => (event._tag === "RefundFailed" ? refundFailed(id, event.reason) : Effect.void),
    {
      discard: true
    }
  )
  return changed
})

/** Enough for changes that come at the same moment; whoever is superseded more often than that has a quarrel. */
const mostAttempts = 10

/**
 * Decides a command on the payment as it is stored now, again and again where others change it meanwhile: for refunds
 * and for what a provider tells. `undefined` if there is no such payment, or others keep changing it.
 */
export const changeStored = Effect.fn("Payments.changeStored")(function* (
  id: string,
  command: PaymentCommand,
  options: ChangeOptions = {}
): Effect.fn.Return<Payment | undefined, StoreError | IllegalTransition, PaymentIntents | PaymentOutlet> {
  const intents = yield* PaymentIntents
  for (let attempt = 0; attempt < mostAttempts; attempt++) {
    const payment = yield* intents.find(id)
    if (payment === undefined) return undefined
    const changed = yield* change(payment, command, options)
    if (changed !== undefined) return changed
  }
  return undefined
})
