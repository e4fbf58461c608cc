/** What the payment worker consumes, and how much of it at a time. */
import { type Duration, Result } from "effect"
import * as Parser from "./Parser.ts"
import { type Problem, quote } from "./Problem.ts"
import { all, type Group, optional, type Reading, refine, setting } from "./Setting.ts"

export interface WorkerSettings {
  readonly queue: string
  /** `undefined`: what cannot be stored is rejected, and a policy of the broker decides. */
  readonly deadLetterQueue: string | undefined
  readonly maxMessages: number | undefined
  readonly maxMessageBytes: number
  readonly maxBytesInFlight: number
  readonly idleTimeout: Duration.Duration | undefined
  readonly batchSize: number
  readonly batchWindow: Duration.Duration
  readonly batchesInFlight: number
  /** Enough for every batch in flight and one that fills, so that no combination can stall. */
  readonly prefetch: number
}

const mebibyte = 1024 * 1024
const count = (maximum: number) => Parser.integer({ minimum: 1, maximum, unit: "messages" })
const bytes = (maximum: number) => Parser.integer({ minimum: 1, maximum, unit: "bytes" })

export const queueName = setting(Parser.queueName, {
  name: "QUEUE_NAME",
  default: "payments",
  reason: "The queue to consume."
})

const asked = all({
  queue: queueName,
  deadLetterName: optional(Parser.queueName, {
    name: "DLQ_NAME",
    default: "<QUEUE_NAME>.dlq",
    reason: "Where what cannot be stored is set aside. `none` rejects instead, for brokers with a dead-letter policy."
  }),
  maxMessages: optional(Parser.orWord("unlimited", count(1_000_000_000)), {
    name: "MAX_MESSAGES",
    default: "unlimited",
    reason: "Settle exactly this many, leave the rest in the queue and exit."
  }),
  maxMessageBytes: setting(bytes(128 * mebibyte), {
    name: "MAX_MESSAGE_BYTES",
    default: String(16 * mebibyte),
    reason: "Larger messages are dead-lettered; 16 MiB is as large as RabbitMQ 4 takes them by default."
  }),
  maxBytesInFlight: setting(bytes(1024 * mebibyte), {
    name: "MAX_BYTES_IN_FLIGHT",
    default: String(64 * mebibyte),
    reason: "Bounds the memory that bodies take; at least MAX_MESSAGE_BYTES, or the largest message could never pass."
  }),
  idleTimeout: optional(Parser.orWord("never", Parser.seconds({ minimum: 0.1, maximum: 604_800 })), {
    name: "IDLE_TIMEOUT_SECONDS",
    default: "never",
    reason: "Exit after this long with an empty queue."
  }),
  batchSize: setting(count(10_000), {
    name: "BATCH_SIZE",
    default: "500",
    reason: "At most this many rows in one insert: beyond it a batch gains little and waits longer."
  }),
  batchWindow: setting(Parser.millis({ minimum: 0, maximum: 10_000 }), {
    name: "BATCH_WINDOW_MILLIS",
    default: "0",
    reason: "How long a batch may wait to fill. 0 stores what there is at once: batches grow by themselves under load."
  }),
  batchesInFlight: setting(Parser.integer({ minimum: 1, maximum: 16, unit: "batches" }), {
    name: "BATCHES_IN_FLIGHT",
    default: "2",
    reason: "Batches stored at the same time, each on a connection of its own."
  })
})

type Values = typeof asked extends Group<infer A> ? A : never

const deadLetterQueueOf = ({ queue, deadLetterName }: Values): string | undefined => {
  if (deadLetterName?.toLowerCase() === "none") return undefined
  return deadLetterName ?? `${queue}.dlq`
}

/** The largest prefetch that AMQP can say. */
const largestPrefetch = 65_535
const prefetchOf = ({ batchSize, batchesInFlight }: Values): number => batchSize * (batchesInFlight + 1)

const problem = (name: string, got: string | number, takes: string): Problem => ({
  name,
  got: quote(String(got)),
  takes
})

const deadLetterProblems = (values: Values): ReadonlyArray<Problem> => {
  const name = deadLetterQueueOf(values)
  if (name === undefined) return []
  if (name === values.queue) return [problem("DLQ_NAME", name, "another queue than QUEUE_NAME, or none")]
  if (Result.isSuccess(Parser.queueName.parse(name))) return []
  return [problem("DLQ_NAME", name, Parser.queueName.takes)]
}

const sizeProblems = (values: Values): ReadonlyArray<Problem> => [
  ...(values.maxBytesInFlight < values.maxMessageBytes
    ? [
        problem(
          "MAX_BYTES_IN_FLIGHT",
          values.maxBytesInFlight,
          `at least MAX_MESSAGE_BYTES (${values.maxMessageBytes})`
        )
      ]
    : []),
  ...(prefetchOf(values) > largestPrefetch
    ? [problem("BATCH_SIZE", values.batchSize, `at most ${largestPrefetch} / (BATCHES_IN_FLIGHT + 1)`)]
    : [])
]

const finish = (values: Values): Reading<WorkerSettings> => {
  const problems = [...deadLetterProblems(values), ...sizeProblems(values)]
  if (problems.length > 0) return Result.fail(problems)
  const { deadLetterName: _, ...rest } = values
  return Result.succeed({ ...rest, deadLetterQueue: deadLetterQueueOf(values), prefetch: prefetchOf(values) })
}

export const workerSettings: Group<WorkerSettings> = refine(asked, finish)
