/**
 * A worker module for tests: an ordered worker that fails by chance, and writes down in a file what it begins and what
 * it has done, so that what a killed process did is known as well.
 */
import { appendFileSync } from "node:fs"
import { Effect, Random, Schema } from "effect"
import { RetryPolicy, Worker } from "paystream"

const journal = String(process.env.JOURNAL)

const note = (what: string, input: string): void => appendFileSync(journal, `${what} ${process.pid} ${input}\n`)

/** Of how many one fails. */
const failureShare = 0.08

export const journalWorker = Worker.make(
  "journal",
  {
    topic: String(process.env.TOPIC),
    input: Schema.String,
    ordered: true,
    partitions: 4,
    concurrency: Number(process.env.CONCURRENCY ?? 4),
    retry: RetryPolicy.fixed({ maxRetries: 1_000, initialDelay: "200 millis", jitter: 0.5 })
  },
  (input) =>
    Effect.gen(function* () {
      note("begin", input)
      yield* Effect.sleep(`${yield* Random.nextIntBetween(5, 30)} millis`)
      if ((yield* Random.next) < failureShare) {
        note("fail", input)
        return yield* Effect.fail("by chance")
      }
      note("done", input)
    })
)
