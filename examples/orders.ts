/**
 * Two topic workers and a service that they share, on the embedded broker:
 *
 *   BROKER=embedded bun run main --mode=consumers --workers=./examples/orders.ts
 */
import { Context, Effect, Layer, Schema } from "effect"
import { RetryPolicy, Worker } from "paystream"

const OrderInput = Schema.Struct({ orderId: Schema.String, quantity: Schema.Int.check(Schema.isGreaterThan(0)) })
const OrderOutput = Schema.Struct({ orderId: Schema.String, status: Schema.Literals(["processed"]) })

class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { orderId: Schema.String }) {}

/** What is left on the shelves. */
class Inventory extends Context.Service<
  Inventory,
  { readonly reserve: (order: typeof OrderInput.Type) => Effect.Effect<void, OutOfStock> }
>()("examples/orders/Inventory") {}

/** The services of the workers below: the runner provides what a module exports under this name. */
export const layer = Layer.sync(Inventory, () => {
  let left = 1000
  return Inventory.of({
    reserve: ({ orderId, quantity }) =>
      quantity > left
        ? Effect.fail(new OutOfStock({ orderId }))
        : Effect.sync(() => {
            left -= quantity
          })
  })
})

export const processEvent = Worker.make(
  "process_event",
  { topic: "events.raw", outputTopic: "events.processed" },
  (event) => Effect.succeed({ ...event, processed: true })
)

export const OrderProcessor = Worker.make(
  "OrderProcessor",
  {
    topic: "orders.created",
    outputTopic: "orders.processed",
    groupId: "order-processor",
    concurrency: 10,
    retry: RetryPolicy.exponential({ maxRetries: 3, initialDelay: "1 second", maxDelay: "60 seconds" }),
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
      onError: (order: typeof OrderInput.Type) => Effect.logWarning(`order ${order.orderId} is given up`)
    }
  })
)
