/**
 * How fast a full queue is drained.
 *
 * The rate counts by the database's own clock, the same for all: every row carries the time at which its batch began
 * (`received_at`), so the batches that began before the last one, divided by the time from the first's beginning to the
 * last's, is the rate, and nobody has to watch. Starting and ending are outside of it and inside `seconds`.
 */
import { Duration, Effect, Fiber } from "effect"
import { attempt, BenchmarkError } from "../BenchmarkError.ts"
import { ended, titleOf } from "../Contestant.ts"
import { peakMegabytes } from "../process.ts"
import { type Contestant, launch } from "./Contestant.ts"
import * as Payments from "./Payments.ts"
import type { Services } from "./Services.ts"

export interface Drain {
  readonly messages: number
  readonly messagesPerSecond: number
  /** From the start of the process to its end. */
  readonly seconds: number
  /** The most that the process had in memory at any time. */
  readonly peakMegabytes: number
}

/** Fills a queue, lets the contestant drain it, and checks that every message was stored once. */
export const drain = Effect.fnUntraced(function* (services: Services, contestant: Contestant, messages: number) {
  const queue = yield* Payments.freshQueue(services)
  yield* Payments.publish(services, queue, messages)
  yield* Payments.calm(services)
  const { peakMegabytes, seconds } = yield* run(services, contestant, queue, messages)
  yield* Payments.checkExact(services, queue, messages)
  return { messages, messagesPerSecond: yield* rate(services), seconds, peakMegabytes } satisfies Drain
}, Effect.scoped)

const run = Effect.fnUntraced(function* (services: Services, contestant: Contestant, queue: string, messages: number) {
  const started = performance.now()
  const child = yield* launch(contestant, services, queue, messages)
  const memory = yield* Effect.forkScoped(peakMemory(child.pid))
  yield* ended(contestant, child).pipe(
    Effect.timeoutOrElse({
      duration: deadline(messages),
      orElse: () => Effect.fail(new BenchmarkError({ message: `${titleOf(contestant)} does not come to an end` }))
    })
  )
  const seconds = (performance.now() - started) / 1000
  return { seconds, peakMegabytes: yield* Fiber.join(memory) }
}, Effect.scoped)

/** A minute, and as long as a rate of 200 messages per second would take. */
const deadline = (messages: number) => Duration.seconds(60 + messages / 200)

/** The kernel keeps the peak itself: to look ten times a second misses only what came in the last tenth. */
const peakMemory = Effect.fnUntraced(function* (pid: number) {
  let peak = 0
  while (true) {
    const found = yield* peakMegabytes(pid)
    if (Number.isNaN(found)) return peak
    peak = found
    yield* Effect.sleep("100 millis")
  }
})

const rateQuery = `SELECT count(*) FILTER (WHERE received_at < ended) / extract(epoch FROM ended - began) AS rate
  FROM payments, (SELECT min(received_at) AS began, max(received_at) AS ended FROM payments) AS span
  GROUP BY began, ended`

const rate = ({ postgres }: Services) =>
  Effect.map(
    attempt("read the rate", () => postgres.query(rateQuery)),
    ({ rows }) => Number(rows[0].rate)
  )
