/**
 * The class-like worker: services and shared state taken once, schemas on both sides, and hooks.
 *
 *   BROKER=embedded bun run main --mode=consumers --workers=./examples/orders.ts
 *
 * You see three orders come in. Two are processed and announced by `onSuccess`; the third asks for more than there is: it
 * is tried again twice, set aside in `orders.dlq`, and told to `onError` once. Ctrl-C stops.
 */
import { Context, Effect, Layer, Schema } from "effect"
import { RetryPolicy, Worker } from "paystream"

const OrderInput = Schema.Struct({ orderId: Schema.String, quantity: Schema.Int.check(Schema.isGreaterThan(0)) })
const OrderOutput = Schema.Struct({ orderId: Schema.String, status: Schema.Literals(["processed"]) })

class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { orderId: Schema.String }) {
  override get message() {
    return "there are not so many left"
  }
}

/** What is left on the shelves. */
class Inventory extends Context.Service<
  Inventory,
  { readonly reserve: (order: typeof OrderInput.Type) => Effect.Effect<void, OutOfStock> }
>()("examples/orders/Inventory") {}

/** The services of the workers below: the runner provides what a module exports under this name. */
export const layer = Layer.sync(Inventory, () => {
  let left = 10
  return Inventory.of({
    reserve: ({ orderId, quantity }) =>
      Effect.suspend(() => {
        if (quantity > left) return Effect.fail(new OutOfStock({ orderId }))
        left -= quantity
        return Effect.void
      })
  })
})

export const OrderProcessor = Worker.make(
  "OrderProcessor",
  {
    topic: "orders.created",
    outputTopic: "orders.processed",
    groupId: "order-processor",
    concurrency: 10,
    retry: RetryPolicy.exponential({ maxRetries: 2, initialDelay: "250 millis", maxDelay: "60 seconds" }),
    input: OrderInput,
    output: OrderOutput,
    dlqTopic: "orders.dlq"
  },
  Effect.gen(function* () {
    const inventory = yield* Inventory
    return {
      process: (order: typeof OrderInput.Type) =>
        Effect.as(inventory.reserve(order), { orderId: order.orderId, status: "processed" as const }),
      onSuccess: (order: typeof OrderInput.Type) => Effect.logInfo(`order ${order.orderId} is processed`),
      onError: (order: typeof OrderInput.Type, error: unknown) =>
        Effect.logWarning(`order ${order.orderId} is given up: ${error instanceof Error ? error.message : error}`)
    }
  })
)

/** Sample input, for one command to show it all: the runner runs this once all workers are subscribed. */
export const onStart = Effect.forEach(
  [
    { orderId: "A-1", quantity: 3 },
    { orderId: "A-2", quantity: 2 },
    { orderId: "A-3", quantity: 1000 }
  ],
  (order) => Worker.publish("orders.created", order, { key: order.orderId, id: order.orderId })
)
