/** What a schema says of an order, by hand. */
import type { Order } from "../consumers/orders.ts"

const isText = (value: unknown): value is string => typeof value === "string"

/** Gives the order back, or throws. */
export const checked = (value: unknown): Order => {
  const order = value as Order
  const holds =
    typeof value === "object" &&
    value !== null &&
    isText(order.orderId) &&
    order.orderId !== "" &&
    isText(order.customer) &&
    order.customer !== "" &&
    Number.isSafeInteger(order.sequence) &&
    order.sequence >= 0 &&
    Number.isFinite(order.amount) &&
    order.amount > 0 &&
    (order.currency === "BRL" || order.currency === "EUR") &&
    isText(order.note)
  if (!holds) throw new Error("not an order")
  const { orderId, customer, sequence, amount, currency, note } = order
  return { orderId, customer, sequence, amount, currency, note }
}
