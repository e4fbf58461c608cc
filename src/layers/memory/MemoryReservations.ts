/** Orders and the payments that hold them, in memory, for tests of what is built on the port. */
import { Effect, Layer } from "effect"
import { type Reservation, Reservations, type Reserved } from "../../domain/ports/Reservations.ts"

interface Order {
  readonly paymentId: string | undefined
  readonly isConfirmed: boolean
  readonly isCancelled: boolean
}

const nobodys: Order = { paymentId: undefined, isConfirmed: false, isCancelled: false }
const done: Reserved = { _tag: "Done" }

const make = (): Reservations["Service"] => {
  const orders = new Map<string, Order>()
  const orderOf = (orderId: string): Order => orders.get(orderId) ?? nobodys
  const change = (orderId: string, changes: Partial<Order>) =>
    void orders.set(orderId, { ...orderOf(orderId), ...changes })

  const take = ({ orderId, paymentId }: Reservation, changes: Partial<Order>): Reserved => {
    const order = orderOf(orderId)
    const isOwn = (order.paymentId ?? paymentId) === paymentId
    if (isOwn && order.isConfirmed && changes.isConfirmed) return done
    if (order.isCancelled) return { _tag: "Refused", reason: "order_cancelled" }
    if (!isOwn || order.isConfirmed) return { _tag: "Refused", reason: "order_taken" }
    change(orderId, { paymentId, ...changes })
    return done
  }
  const giveBack = ({ orderId, paymentId }: Reservation, changes: Partial<Order>): void => {
    if (orderOf(orderId).paymentId === paymentId) change(orderId, changes)
  }

  return {
    reserve: (reservation) => Effect.sync(() => take(reservation, {})),
    confirm: (reservation) => Effect.sync(() => take(reservation, { isConfirmed: true })),
    unconfirm: (reservation) => Effect.sync(() => giveBack(reservation, { isConfirmed: false })),
    release: (reservation) => Effect.sync(() => giveBack(reservation, { paymentId: undefined, isConfirmed: false })),
    cancel: (orderId) =>
      Effect.sync(() =>
        change(
          orderId,
          orderOf(orderId).isConfirmed ? { isCancelled: true } : { isCancelled: true, paymentId: undefined }
        )
      )
  }
}

/** No orders at first, of its own for each use of the layer. */
export const layer: Layer.Layer<Reservations> = Layer.sync(Reservations, make)
