/**
 * Fan-out: one message in, one to each of three topics out.
 *
 *   BROKER=embedded bun run main --mode=consumers --workers=./examples/fan-out.ts
 *
 * You see one settled payment come in, and three workers that know nothing of each other take what concerns them: a
 * receipt, a line for the accounts, points for the customer. Ctrl-C stops.
 */
import { Effect, Schema } from "effect"
import { Worker } from "paystream"

const Settled = Schema.Struct({ paymentId: Schema.String, customer: Schema.String, cents: Schema.Int })

/** Ids of what a handler publishes follow from its input: a repeat of the input repeats the ids too. */
export const fanOut = Worker.make("fan-out", { topic: "payments.settled", input: Settled, concurrency: 8 }, (payment) =>
  Effect.all(
    [
      Worker.publish("receipts.requested", payment, { key: payment.customer }),
      Worker.publish("accounts.lines", { paymentId: payment.paymentId, cents: payment.cents }),
      Worker.publish("points.earned", { customer: payment.customer, points: Math.floor(payment.cents / 100) })
    ],
    { discard: true }
  )
)

export const receipts = Worker.make(
  "receipts",
  { topic: "receipts.requested", input: Settled },
  ({ customer, paymentId }) => Effect.logInfo(`receipt for ${paymentId} sent to ${customer}`)
)

export const accounts = Worker.make(
  "accounts",
  { topic: "accounts.lines", input: Schema.Struct({ paymentId: Schema.String, cents: Schema.Int }) },
  ({ cents, paymentId }) => Effect.logInfo(`${paymentId} entered in the accounts with ${cents} cents`)
)

export const points = Worker.make(
  "points",
  { topic: "points.earned", input: Schema.Struct({ customer: Schema.String, points: Schema.Int }) },
  ({ customer, points }) => Effect.logInfo(`${points} points for ${customer}`)
)

/** Sample input: the runner runs this once all workers are subscribed. */
export const onStart = Worker.publish(
  "payments.settled",
  { paymentId: "P-1", customer: "ana", cents: 1990 },
  { key: "ana", id: "P-1" }
)
