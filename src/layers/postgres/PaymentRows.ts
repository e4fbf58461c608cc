/** Payments as their rows say it: a row, and the history that the payment's state is made of. */
import { Effect, Option, Schema } from "effect"
import { PaymentEvent } from "../../domain/PaymentEvent.ts"
import { stateOf } from "../../domain/PaymentState.ts"
import type { Payment } from "../../domain/ports/PaymentIntents.ts"
import { StoreError, StoreOutdated } from "../../domain/StoreError.ts"

export interface PaymentRow {
  readonly id: string
  readonly idempotency_key: string
  readonly version: number
  readonly created: number
  readonly updated: number
  readonly events: ReadonlyArray<unknown>
}

const decode = Schema.decodeUnknownOption(PaymentEvent)
const encode = Schema.encodeSync(PaymentEvent)

/** Events as JSON texts. */
export const textsOf = (events: ReadonlyArray<PaymentEvent>): ReadonlyArray<string> =>
  events.map((event) => JSON.stringify(encode(event)))

const outdated = (address: string, id: string) =>
  new StoreError({
    reason: new StoreOutdated({
      detail: `PostgreSQL at ${address}: the history of payment ${id} has no beginning, or events that this version does not know`
    })
  })

/** The events of a history; an error where another version has written what this one cannot read. */
export const eventsOf = (
  address: string,
  id: string,
  events: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<PaymentEvent>, StoreError> =>
  Effect.mapError(Effect.fromOption(Option.all(events.map((event) => decode(event)))), () => outdated(address, id))

/** The payment that a row and its history make. */
export const paymentOf = (address: string, row: PaymentRow): Effect.Effect<Payment, StoreError> =>
  Effect.flatMap(eventsOf(address, row.id, row.events), (events) => {
    const state = stateOf(events)
    return state === undefined
      ? Effect.fail(outdated(address, row.id))
      : Effect.succeed({
          id: row.id,
          idempotencyKey: row.idempotency_key,
          state,
          version: row.version,
          createdAtMillis: row.created,
          updatedAtMillis: row.updated
        })
  })
