/**
 * Workers in a program of one's own, with all that they have elsewhere: each entry is booked once, however often it
 * comes, and after those of its account that came before.
 *
 *   bun examples/own-program.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer, Schema } from "effect"
import { Brokers, Stores, Worker } from "paystream"

const Entry = Schema.Struct({ account: Schema.String, cents: Schema.Int })

const balances = new Map<string, number>()

const book = Worker.make(
  "book",
  { topic: "entries", input: Entry, dedupe: true, ordered: true, concurrency: 8 },
  ({ account, cents }) =>
    Effect.suspend(() => {
      const balance = (balances.get(account) ?? 0) + cents
      balances.set(account, balance)
      return Effect.logInfo(`booked ${cents} on ${account}; balance ${balance}`)
    })
)

// What is remembered is the id: those of another run are other entries.
const run = crypto.randomUUID()

/** The second one comes twice, as from a client that has seen no answer. */
const samples = Effect.forEach(
  [
    { id: 1, account: "BR-77", cents: 500 },
    { id: 2, account: "BR-77", cents: -200 },
    { id: 2, account: "BR-77", cents: -200 },
    { id: 3, account: "BR-77", cents: 50 }
  ],
  ({ account, cents, id }) => Worker.publish("entries", { account, cents }, { key: account, id: `${run}-${id}` }),
  { discard: true }
)

const where = { BROKER: "embedded" }

Worker.run([book], { onStart: samples }).pipe(
  Effect.provide(Layer.merge(Brokers.fromSettings(where), Stores.fromSettings(where))),
  NodeRuntime.runMain
)
