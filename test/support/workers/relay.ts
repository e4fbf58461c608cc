/** Workers that a test runs as processes: what comes in goes out, and has one effect. Topics are told by `STAGE`. */
import { appendFileSync } from "node:fs"
import { Effect, Schema } from "effect"
import { RetryPolicy, Worker } from "paystream"

const stage = process.env.STAGE ?? "stage"

/** What a test asks the handler to do. */
const Input = Schema.Struct({
  n: Schema.Int,
  does: Schema.optionalKey(Schema.Literals(["kills", "exits", "fails once", "is slow"]))
})

/** What a process that is killed had in its hands is known from here. */
const note = (what: "begin" | "end") =>
  Effect.sync(() => appendFileSync(process.env.JOURNAL_FILE ?? "journal", `${what} ${process.pid}\n`))

/** Those that have failed in this process. */
const failed = new Set<number>()

export const relay = Worker.make(
  "relay",
  {
    topic: `${stage}.in`,
    outputTopic: `${stage}.out`,
    concurrency: 4,
    retry: RetryPolicy.fixed({
      // each process that is killed may have had one attempt
      maxRetries: 10_000,
      initialDelay: process.env.RETRY_DELAY === "long" ? "4 seconds" : "100 millis"
    }),
    input: Input
  },
  ({ does, n }) =>
    Effect.gen(function* () {
      yield* note("begin")
      if (does === "kills") process.kill(process.pid, "SIGKILL")
      if (does === "exits") process.exit(7)
      if (does === "fails once" && !failed.has(n)) {
        failed.add(n)
        yield* note("end")
        return yield* Effect.fail("once")
      }
      yield* Effect.sleep(does === "is slow" ? "500 millis" : "3 millis")
      yield* note("end")
      return { n }
    })
)

/** One line for each time that it is run. */
export const effects = Worker.make("effects", { topic: `${stage}.out`, dedupe: true, concurrency: 8 }, ({ n }) =>
  Effect.sync(() => appendFileSync(process.env.EFFECTS_FILE ?? "effects", `${n}\n`))
)
