/** Types of declared workers: what is to compile compiles, what is not to does not. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Schema } from "effect"
import { type Broker, RetryPolicy, Worker } from "paystream"

const OrderInput = Schema.Struct({ orderId: Schema.String, quantity: Schema.Int })
const OrderOutput = Schema.Struct({ orderId: Schema.String, status: Schema.String })
type Order = typeof OrderInput.Type

class Inventory extends Context.Service<
  Inventory,
  { readonly reserve: (order: Order) => Effect.Effect<void, "no stock"> }
>()("test/Inventory") {}

class Mail extends Context.Service<Mail, { readonly send: (text: string) => Effect.Effect<void> }>()("test/Mail") {}

const alert = (order: Order, error: unknown) => Effect.logWarning(order.orderId, error)

// The two declarations of the documentation, as they stand there

const processEvent = Worker.make("process_event", { topic: "events.raw", outputTopic: "events.processed" }, (event) =>
  Effect.succeed({ ...event, processed: true })
)

const OrderProcessor = Worker.make(
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
      process: (order) => inventory.reserve(order).pipe(Effect.as({ orderId: order.orderId, status: "processed" })),
      onSuccess: (_order, _result) => Effect.log("processed"),
      onError: (order, error) => alert(order, error)
    }
  })
)

// What a worker needs is asked for where it is run

type Needs<W> = W extends Worker.Worker<infer _In, infer _Out, infer R> ? R : "not a worker"
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

const needsNothing: Same<Needs<typeof processEvent>, never> = true
const needsInventory: Same<Needs<typeof OrderProcessor>, Inventory> = true

const inHandler = Worker.make("mail", { topic: "t", input: OrderInput }, (order) =>
  Mail.use((mail) => mail.send(order.orderId))
)
const needsMail: Same<Needs<typeof inHandler>, Mail> = true

const inBoth = Worker.make(
  "both",
  { topic: "t", input: OrderInput },
  Effect.map(Inventory, ({ reserve }) => ({
    process: (order: Order) => reserve(order),
    onError: () => Mail.use((mail) => mail.send("lost"))
  }))
)
const needsBoth: Same<Needs<typeof inBoth>, Inventory | Mail> = true

const testing = Worker.test(OrderProcessor, {})
const testNeedsInventory: Same<Effect.Services<typeof testing>, Inventory> = true

const flowing = Worker.testFlow([processEvent, OrderProcessor, inHandler], (topics) => topics.settle)
const flowNeedsBoth: Same<Effect.Services<typeof flowing>, Inventory | Mail> = true

const running = Worker.run([processEvent, OrderProcessor, inHandler])
const runNeedsAll: Same<Effect.Services<typeof running>, Broker | Inventory | Mail> = true

const starting = Worker.run([processEvent], { onStart: Mail.use((mail) => mail.send("it runs")) })
const startNeedsMail: Same<Effect.Services<typeof starting>, Broker | Mail> = true

// A policy is a value with its arithmetic, and pipeable

const wait: Duration.Duration = RetryPolicy.exponential().pipe(RetryPolicy.delay(3))

// Every ending that a handler may choose

const endings = Worker.make("endings", { topic: "t", input: OrderInput, output: OrderOutput }, (order) => {
  if (order.quantity === 0) return Effect.void
  if (order.quantity === 1) return Effect.succeed(null)
  if (order.quantity === 2) return Worker.snooze("1 minute")
  if (order.quantity === 3) return Worker.reject("odd")
  return Effect.succeed({ orderId: order.orderId, status: "processed" })
})

const either = Worker.make("either", { topic: "t", input: OrderInput }, (order) =>
  order.quantity === 0 ? Mail.use((mail) => mail.send("none")) : Inventory.use(({ reserve }) => reserve(order))
)
const needsEither: Same<Needs<typeof either>, Inventory | Mail> = true

const declared: ReadonlyArray<Worker.Any> = [processEvent, OrderProcessor, inHandler, inBoth, endings]

// What must not compile

const misdeclared = (): ReadonlyArray<Worker.Any> => [
  // @ts-expect-error a status is text
  Worker.make("wrong", { topic: "t", input: OrderInput, output: OrderOutput }, ({ orderId }) =>
    Effect.succeed({ orderId, status: 1 })
  ),
  // @ts-expect-error the status is missing
  Worker.make("wrong", { topic: "t", output: OrderOutput }, () => Effect.succeed({ orderId: "1" })),
  // @ts-expect-error an order has no price
  Worker.make("wrong", { topic: "t", input: OrderInput }, (order) => Effect.succeed(order.price)),
  Worker.make(
    "wrong",
    { topic: "t", input: OrderInput, output: OrderOutput },
    // @ts-expect-error a status is text
    Effect.map(Inventory, ({ reserve }) => ({
      process: (order: Order) => Effect.as(reserve(order), { orderId: order.orderId, status: 1 })
    }))
  ),
  Worker.make(
    "wrong",
    { topic: "t", input: OrderInput, output: OrderOutput },
    // @ts-expect-error a hook gets the order
    Effect.succeed({
      process: ({ orderId }: Order) => Effect.succeed({ orderId, status: "processed" }),
      onSuccess: (count: number) => Effect.log(count)
    })
  ),
  Worker.make(
    "wrong",
    { topic: "t", input: OrderInput, output: OrderOutput },
    // @ts-expect-error a hook gets what was published
    Effect.succeed({
      process: ({ orderId }: Order) => Effect.succeed({ orderId, status: "processed" }),
      onSuccess: (_order: Order, result: number) => Effect.log(result)
    })
  ),
  Worker.make(
    "wrong",
    { topic: "t", input: OrderInput },
    // @ts-expect-error a hook gives an Effect
    Effect.succeed({ process: () => Effect.void, onError: (order: Order) => order.orderId })
  ),
  // @ts-expect-error a worker has a topic
  Worker.make("wrong", {}, () => Effect.void),
  // @ts-expect-error a handler gives an Effect
  Worker.make("wrong", { topic: "t" }, () => 1)
]

describe("A worker's types", () => {
  it("say what it takes, gives and needs", () => {
    assert.isTrue(needsNothing && needsInventory && needsMail && needsBoth && needsEither)
    assert.isTrue(testNeedsInventory && flowNeedsBoth && runNeedsAll && startNeedsMail)
    assert.strictEqual(Duration.toSeconds(wait), 4)
    assert.strictEqual(declared.length + misdeclared().length, 14)
  })
})
