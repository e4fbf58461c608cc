/**
 * A saga: an order takes stock, then money, and gives the stock back when there is no money.
 *
 *   BROKER=embedded bun run main --mode=consumers --workers=./examples/order-saga.ts
 *
 * You see two orders reserve their stock. One is paid and confirmed. The payment of the other is declined: the
 * compensation gives its stock back, and the order is cancelled. Ctrl-C stops.
 *
 *   saga.placed ─▶ reserve ─▶ saga.reserved ─▶ charge ─▶ saga.paid ─────▶ confirm
 *                                                └─────▶ saga.declined ─▶ release ─▶ saga.cancelled
 */
import { Context, Effect, Layer, Schema } from "effect"
import { Worker } from "paystream"

const Order = Schema.Struct({ orderId: Schema.String, quantity: Schema.Int, cents: Schema.Int })
type Order = typeof Order.Type

/** Both remember what they did by order: every step may be repeated, and a repeat changes nothing. */
class Stock extends Context.Service<
  Stock,
  {
    readonly reserve: (order: Order) => Effect.Effect<void>
    /** What is left when the order's share is back. */
    readonly release: (order: Order) => Effect.Effect<number>
  }
>()("examples/order-saga/Stock") {}

class Declined extends Schema.TaggedError<Declined>()("Declined", { orderId: Schema.String }) {}

class Payments extends Context.Service<
  Payments,
  { readonly charge: (order: Order) => Effect.Effect<void, Declined> }
>()("examples/order-saga/Payments") {}

const all = 100
const limitInCents = 50_000

export const layer = Layer.merge(
  Layer.sync(Stock, () => {
    const reserved = new Map<string, number>()
    const left = () => [...reserved.values()].reduce((rest, quantity) => rest - quantity, all)
    return Stock.of({
      reserve: ({ orderId, quantity }) => Effect.sync(() => void reserved.set(orderId, quantity)),
      release: ({ orderId }) =>
        Effect.sync(() => {
          reserved.delete(orderId)
          return left()
        })
    })
  }),
  Layer.succeed(
    Payments,
    Payments.of({
      charge: ({ cents, orderId }) => (cents > limitInCents ? Effect.fail(new Declined({ orderId })) : Effect.void)
    })
  )
)

export const reserve = Worker.make(
  "reserve",
  { topic: "saga.placed", outputTopic: "saga.reserved", input: Order, output: Order },
  (order) =>
    Stock.use((stock) => stock.reserve(order)).pipe(
      Effect.andThen(Effect.logInfo(`order ${order.orderId}: stock reserved`)),
      Effect.as(order)
    )
)

/** Declined is an answer, not trouble: it is not tried again but goes the other way. Trouble would be tried again. */
export const charge = Worker.make("charge", { topic: "saga.reserved", input: Order }, (order) =>
  Payments.use((payments) => payments.charge(order)).pipe(
    Effect.andThen(Worker.publish("saga.paid", order, { key: order.orderId })),
    Effect.catchTag("Declined", () => Worker.publish("saga.declined", order, { key: order.orderId }))
  )
)

export const confirm = Worker.make("confirm", { topic: "saga.paid", input: Order }, ({ orderId }) =>
  Effect.logInfo(`order ${orderId}: paid and confirmed`)
)

/** The compensation. */
export const release = Worker.make(
  "release",
  { topic: "saga.declined", outputTopic: "saga.cancelled", input: Order, output: Order },
  (order) =>
    Effect.gen(function* () {
      const left = yield* Stock.use((stock) => stock.release(order))
      yield* Effect.logInfo(`order ${order.orderId}: payment declined, stock given back, ${left} left`)
      return order
    })
)

/** Sample input: the runner runs this once all workers are subscribed. */
export const onStart = Effect.forEach(
  [
    { orderId: "S-1", quantity: 2, cents: 4_000 },
    { orderId: "S-2", quantity: 5, cents: 90_000 }
  ],
  (order) => Worker.publish("saga.placed", order, { key: order.orderId })
)
