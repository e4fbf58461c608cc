/**
 * What is said of payments on topics: the command that asks for one to be processed, and an event for each status that
 * it comes to. JSON; amounts are text with two places.
 *
 * Fields that a schema does not know are let through, and kept. What could not be read by those who know this version
 * would get another one, in the header `version`.
 */
import { Schema } from "effect"
import { isoOf } from "./Instant.ts"
import { Amount, Currency, textOf } from "./Money.ts"
import type { NewEvent } from "./OutboxEvent.ts"
import type { PaymentEvent } from "./PaymentEvent.ts"
import { evolve, type PaymentState, type Status, transitions } from "./PaymentState.ts"

/** The queue of the commands: it has just this name. */
export const commandTopic = "payment.commands.process"

/** The topic of those events that tell of a status. */
export const eventTopic = (status: Status): string => `payment.events.${status}`

/** The header of each message that says which version of its schema it follows. */
export const versionHeader = { version: "1" } as const

const statuses = Object.keys(transitions) as ReadonlyArray<Status>
const unknownFields = [Schema.Record(Schema.String, Schema.Unknown)] as const

const Id = Schema.String.check(Schema.isUUID())
const Time = Schema.String.check(
  Schema.makeFilter((text: string) => !Number.isNaN(Date.parse(text)), {
    message: "a time such as 2026-11-21T12:00:00.000Z"
  })
)

/** Asks for a payment that is stored to be taken on: charged, or given back. */
export const ProcessPayment = Schema.StructWithRest(
  Schema.Struct({
    /** Of two commands with one id, the second is a repeat. */
    commandId: Schema.NonEmptyString,
    type: Schema.Literal("ProcessPayment"),
    paymentId: Id,
    /** For who reads along: what is charged is what the payment says. */
    amount: Schema.optionalKey(Amount),
    currency: Schema.optionalKey(Currency),
    requestedAt: Time
  }),
  unknownFields
)
export type ProcessPayment = typeof ProcessPayment.Type

/** A payment has come to a status. `amount` is in minor units. */
export const PaymentStatusChanged = Schema.StructWithRest(
  Schema.Struct({
    paymentId: Id,
    status: Schema.Literals(statuses),
    /** Its place in the payment's history: later ones are higher. */
    sequence: Schema.Int,
    orderId: Schema.String,
    amount: Amount,
    currency: Currency,
    /** The provider's name for the charge, once there is one. */
    reference: Schema.optionalKey(Schema.String),
    /** Why it failed, or is undone: a code. */
    reason: Schema.optionalKey(Schema.String),
    occurredAt: Time
  }),
  unknownFields
)
export type PaymentStatusChanged = typeof PaymentStatusChanged.Type

/** A payment, as far as messages tell of it. */
export interface Told {
  readonly id: string
  readonly state: PaymentState
}

/** The command, for the outbox. Of one payment all messages have one key: they keep their order. */
export const processCommand = ({ id, state }: Told, commandId: string, atMillis: number): NewEvent => ({
  topic: commandTopic,
  key: id,
  headers: versionHeader,
  payload: {
    commandId,
    type: "ProcessPayment",
    paymentId: id,
    amount: textOf(state.amount),
    currency: state.currency,
    requestedAt: isoOf(atMillis)
  }
})

/** The event that tells of the payment's status, for the outbox; `sequence` is its place in the history. */
export const statusEvent = ({ id, state }: Told, sequence: number, atMillis: number): NewEvent => ({
  topic: eventTopic(state.status),
  key: id,
  headers: versionHeader,
  payload: {
    paymentId: id,
    status: state.status,
    sequence,
    orderId: state.orderId,
    amount: textOf(state.amount),
    currency: state.currency,
    ...(state.reference === undefined ? {} : { reference: state.reference }),
    ...(state.failure === undefined ? {} : { reason: state.failure }),
    occurredAt: isoOf(atMillis)
  }
})

/** An event for each status that a payment with a history of `version` events comes to by further ones. */
export const statusEvents = (
  { id, state, version }: Told & { readonly version: number },
  events: ReadonlyArray<PaymentEvent>,
  atMillis: number
): ReadonlyArray<NewEvent> => {
  let current = state
  return events.flatMap((event, place) => {
    const before = current.status
    current = evolve(current, event)
    return current.status === before ? [] : [statusEvent({ id, state: current }, version + place + 1, atMillis)]
  })
}
