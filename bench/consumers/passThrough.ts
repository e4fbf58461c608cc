/** The worker that is measured, as its author writes it. */
import { Effect, Schema } from "effect"
import { Worker } from "paystream"

const { INPUT_TOPIC = "", OUTPUT_TOPIC = "" } = process.env

const Order = Schema.Struct({
  orderId: Schema.NonEmptyString,
  customer: Schema.NonEmptyString,
  sequence: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  amount: Schema.Finite.check(Schema.isGreaterThan(0)),
  currency: Schema.Literals(["BRL", "EUR"]),
  note: Schema.String
})

export const passThrough = Worker.make(
  "bench",
  { topic: INPUT_TOPIC, outputTopic: OUTPUT_TOPIC, concurrency: 200, input: Order, output: Order },
  (order) => Effect.succeed(order)
)
