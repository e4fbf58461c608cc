/**
 * Extract, transform, load, in two stages with a topic between them.
 *
 *   BROKER=embedded bun run main --mode=consumers --workers=./examples/etl.ts
 *
 * You see three lines of a bank's statement come in as text. Two become entries and are booked into a ledger, whose
 * balance is shown each time; the third is no statement line and is set aside in `etl.lines.dlq`. Ctrl-C stops.
 */
import { BigDecimal, Context, Effect, Layer, Schema } from "effect"
import { Worker } from "paystream"

const Line = Schema.Struct({ line: Schema.String })
/** The amount as a decimal: money is never a binary fraction. */
const Entry = Schema.Struct({
  date: Schema.String.check(Schema.isPattern(/^\d{4}-\d\d-\d\d$/)),
  account: Schema.NonEmptyString,
  amount: Schema.BigDecimalFromString
})

/** Stage one: `2026-11-20;BR-77;19.90` becomes an entry. What can never become one is not tried again. */
export const transform = Worker.make(
  "transform",
  { topic: "etl.lines", outputTopic: "etl.entries", input: Line, output: Entry, concurrency: 4 },
  ({ line }) => {
    const [date = "", account = "", amount = ""] = line.split(";")
    return Schema.decodeEffect(Entry)({ date, account, amount }).pipe(
      Effect.catchTag("SchemaError", () => Worker.reject(`no statement line: ${line}`))
    )
  }
)

/** Where entries are booked: in memory here, a table of yours in earnest. */
class Ledger extends Context.Service<
  Ledger,
  { readonly book: (id: string, amount: BigDecimal.BigDecimal) => Effect.Effect<BigDecimal.BigDecimal> }
>()("examples/etl/Ledger") {}

export const layer = Layer.sync(Ledger, () => {
  const booked = new Map<string, BigDecimal.BigDecimal>()
  return Ledger.of({
    // Booking a repeat changes nothing: messages come at least once.
    book: (id, amount) => Effect.sync(() => BigDecimal.sumAll(booked.set(id, amount).values()))
  })
})

/** Stage two: entries into the ledger, one after the other. */
export const load = Worker.make("load", { topic: "etl.entries", input: Entry }, ({ account, amount, date }) =>
  Effect.gen(function* () {
    const ledger = yield* Ledger
    const balance = yield* ledger.book(`${date} ${account}`, amount)
    yield* Effect.logInfo(`booked ${BigDecimal.format(amount)} on ${account}; balance ${BigDecimal.format(balance)}`)
  })
)

/** Sample input: the runner runs this once all workers are subscribed. */
export const onStart = Effect.forEach(["2026-11-20;BR-77;19.90", "2026-11-20;BR-78;0.10", "page 1 of 1"], (line) =>
  Worker.publish("etl.lines", { line }, { key: line.split(";")[1] })
)
