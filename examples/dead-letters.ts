/**
 * A worker on a dead-letter topic: it mends what can be mended, and tells people of the rest.
 *
 *   BROKER=embedded bun run main --mode=consumers --workers=./examples/dead-letters.ts
 *
 * You see three transfers come in. One is made; one has its amount with a comma and lands in `transfers.dlq`, from where
 * it is mended, sent again and made; one has no amount at all, and a person is asked. Ctrl-C stops.
 */
import { Effect, Schema } from "effect"
import { Worker } from "paystream"

const Transfer = Schema.Struct({
  to: Schema.String,
  amount: Schema.String.check(Schema.isPattern(/^\d+\.\d{2}$/))
})

export const transfers = Worker.make("transfers", { topic: "transfers", input: Transfer }, ({ amount, to }) =>
  Effect.logInfo(`transferred ${amount} to ${to}`)
)

/** What every dead letter is; `original` as it was received. */
const DeadLetter = Schema.Struct({
  original: Schema.Unknown,
  error: Schema.String,
  worker: Schema.String,
  retries: Schema.Int
})

const isTransferWithComma = Schema.is(
  Schema.Struct({ to: Schema.String, amount: Schema.String.check(Schema.isPattern(/^\d+,\d{2}$/)) })
)

export const repair = Worker.make("repair", { topic: "transfers.dlq", input: DeadLetter }, ({ original, worker }) =>
  isTransferWithComma(original)
    ? Worker.publish(
        "transfers",
        { ...original, amount: original.amount.replace(",", ".") },
        { key: original.to }
      ).pipe(Effect.andThen(Effect.logInfo(`mended a transfer to ${original.to}`)))
    : Effect.logWarning(`a person has to look at a message that ${worker} could not handle`)
)

/** Sample input: the runner runs this once all workers are subscribed. */
export const onStart = Effect.forEach(
  [{ to: "ana", amount: "10.00" }, { to: "bia", amount: "20,50" }, { to: "caio" }],
  (transfer) => Worker.publish("transfers", transfer, { key: transfer.to })
)
