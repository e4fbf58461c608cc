/** The workers of orders.ts, tested by their author: no broker, no clock, no waiting. */
import { Effect } from "effect"
import { Worker } from "paystream"
import { expect, it } from "vitest"
import { layer, OrderProcessor } from "./orders.ts"

it("processes an order once its stock is reserved", async () => {
  const tested = await Effect.runPromise(
    Worker.test(OrderProcessor, { orderId: "1", quantity: 2 }).pipe(Effect.provide(layer))
  )
  expect(tested.ending).toBe("done")
  expect(tested.published.map(({ topic, value }) => ({ topic, value }))).toEqual([
    { topic: "orders.processed", value: { orderId: "1", status: "processed" } }
  ])
})

it("sets an order aside that asks for too much, after two retries", async () => {
  const tested = await Effect.runPromise(
    Worker.test(OrderProcessor, { orderId: "1", quantity: 1000 }).pipe(Effect.provide(layer))
  )
  expect(tested.attempts.map(({ ending }) => ending)).toEqual(["retried", "retried", "dead_lettered"])
  expect(tested.deadLetter?.reason).toBe("retries_exhausted")
  expect(tested.deadLetter?.value).toEqual({
    original: { orderId: "1", quantity: 1000 },
    error: "there are not so many left",
    worker: "OrderProcessor",
    retries: 2
  })
})

it("bills what was processed, and nothing else", async () => {
  const billing = Worker.make("billing", { topic: "orders.processed", outputTopic: "bills" }, ({ orderId }) =>
    Effect.succeed({ bill: orderId })
  )
  const flow = Worker.testFlow([OrderProcessor, billing], (topics) =>
    Effect.gen(function* () {
      yield* topics.publish("orders.created", { orderId: "1", quantity: 8 })
      yield* topics.publish("orders.created", { orderId: "2", quantity: 8 })
      yield* topics.settle
      return yield* topics.published("bills")
    })
  )
  const bills = await Effect.runPromise(Effect.provide(flow, layer))
  expect(bills.map(({ value }) => value)).toEqual([{ bill: "1" }])
})
