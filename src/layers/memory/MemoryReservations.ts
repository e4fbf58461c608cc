/** Orders and the payments that hold them, in memory, for tests of what is built on the port. */
import { Clock, Duration, Effect, Layer } from "effect"
import { type Reservation, Reservations, type Reserved } from "../../domain/ports/Reservations.ts"

interface Order {
  readonly paymentId: string | undefined
  readonly isConfirmed: boolean
  readonly isCancelled: boolean
  readonly changedAtMillis: number
}
type Changes = Partial<Omit<Order, "changedAtMillis">>

const nobodys: Order = { paymentId: undefined, isConfirmed: false, isCancelled: false, changedAtMillis: 0 }
const done: Reserved = { _tag: "Done" }

const make = (): Reservations["Service"] => {
  const orders = new Map<string, Order>()
  const orderOf = (orderId: string): Order => orders.get(orderId) ?? nobodys
  const change = (orderId: string, changes: Changes, now: number) =>
    void orders.set(orderId, { ...orderOf(orderId), ...changes, changedAtMillis: now })

  const take = ({ orderId, paymentId }: Reservation, changes: Changes, now: number): Reserved => {
    const order = orderOf(orderId)
    const isOwn = (order.paymentId ?? paymentId) === paymentId
    if (isOwn && order.isConfirmed && changes.isConfirmed) return done
    if (order.isCancelled) return { _tag: "Refused", reason: "order_cancelled" }
    if (!isOwn || order.isConfirmed) return { _tag: "Refused", reason: "order_taken" }
    change(orderId, { paymentId, ...changes }, now)
    return done
  }
  const giveBack = ({ orderId, paymentId }: Reservation, changes: Changes, now: number): void => {
    if (orderOf(orderId).paymentId === paymentId) change(orderId, changes, now)
  }
  const cancel = (orderId: string, now: number): void => {
    const { isConfirmed, paymentId } = orderOf(orderId)
    change(orderId, { isCancelled: true, paymentId: isConfirmed ? paymentId : undefined }, now)
  }
  const forget = (before: number, limit: number): number => {
    const old = [...orders]
      .filter(([, order]) => (order.paymentId === undefined || order.isConfirmed) && order.changedAtMillis < before)
      .sort(([, one], [, other]) => one.changedAtMillis - other.changedAtMillis)
      .slice(0, limit)
    for (const [orderId] of old) orders.delete(orderId)
    return old.length
  }
  const at = <A>(work: (now: number) => A): Effect.Effect<A> => Effect.map(Clock.currentTimeMillis, work)

  return {
    reserve: (reservation) => at((now) => take(reservation, {}, now)),
    confirm: (reservation) => at((now) => take(reservation, { isConfirmed: true }, now)),
    unconfirm: (reservation) => at((now) => giveBack(reservation, { isConfirmed: false }, now)),
    release: (reservation) =>
      at((now) => {
        giveBack(reservation, { paymentId: undefined, isConfirmed: false }, now)
        const { isCancelled, paymentId } = orderOf(reservation.orderId)
        if (paymentId === undefined && !isCancelled) orders.delete(reservation.orderId)
      }),
    cancel: (orderId) => at((now) => cancel(orderId, now)),
    forget: (age, limit) => at((now) => forget(now - Duration.toMillis(age), limit))
  }
}

/** No orders at first, of its own for each use of the layer. */
export const layer: Layer.Layer<Reservations> = Layer.sync(Reservations, make)
