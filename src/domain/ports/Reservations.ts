/**
 * What payments are for: orders, each of them paid once.
 *
 * ## Guarantees
 * - Of any number of payments for one order, one holds its reservation at a time; each call can be repeated, and
 *   changes nothing the second time.
 * - An order that was cancelled is neither reserved nor confirmed.
 * - An order that is paid is not reserved again, not even by the payment that has paid it: one that was forgotten, and is
 *   asked for once more, does not charge twice.
 *
 * ## Assumptions
 * - A payment that holds a reservation confirms or releases it some day.
 */
import { Context, type Duration, type Effect } from "effect"
import type { StoreError } from "../StoreError.ts"

/** An order and the payment that asks for it. */
export interface Reservation {
  readonly orderId: string
  readonly paymentId: string
}

/** Whether it was done; otherwise a code that says why not. */
export type Reserved =
  | { readonly _tag: "Done" }
  | { readonly _tag: "Refused"; readonly reason: "order_taken" | "order_cancelled" }

export class Reservations extends Context.Service<
  Reservations,
  {
    /** Can be repeated until it is confirmed. */
    readonly reserve: (reservation: Reservation) => Effect.Effect<Reserved, StoreError>
    /** The order is paid. */
    readonly confirm: (reservation: Reservation) => Effect.Effect<Reserved, StoreError>
    /** The order is no longer paid, and still reserved. */
    readonly unconfirm: (reservation: Reservation) => Effect.Effect<void, StoreError>
    readonly release: (reservation: Reservation) => Effect.Effect<void, StoreError>
    /** No payment can take the order any more; one that is confirmed stays so. */
    readonly cancel: (orderId: string) => Effect.Effect<void, StoreError>
    /**
     * Removes at most `limit` orders that are paid or cancelled, and of which there is no news for `age`; the number of
     * those removed. What a payment holds and has not paid stays. An order that is removed can be paid once more.
     */
    readonly forget: (age: Duration.Duration, limit: number) => Effect.Effect<number, StoreError>
  }
>()("paystream/domain/ports/Reservations") {}
