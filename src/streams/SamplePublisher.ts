/** Publishes sample payments: the other end of the payment worker, for demonstrations and tests. */
import { Clock, Effect, Stream } from "effect"
import { Broker, type OutgoingMessage } from "../domain/ports/Broker.ts"
import { samplePayment } from "../domain/SamplePayment.ts"

/** Messages that wait for their confirms at a time. */
const batchSize = 500

export interface SampleOptions {
  readonly queue: string
  /** What the message ids begin with; unique for a run. */
  readonly run: string
}

const encoder = new TextEncoder()

/** The sample payment of a number as a message. */
const sampleMessage = ({ queue, run }: SampleOptions, number: number, publishedAtMillis: number): OutgoingMessage => ({
  queue,
  id: `${run}-${number}`,
  body: encoder.encode(JSON.stringify(samplePayment(number))),
  headers: {},
  contentType: "application/json",
  publishedAtMillis
})

/** Publishes the payments with the numbers from `start` to before `end`, and returns when they are confirmed. */
export const publishSamples = Effect.fnUntraced(function* (options: SampleOptions, start: number, end: number) {
  const broker = yield* Broker
  const now = yield* Clock.currentTimeMillis
  yield* broker.publish(Array.from({ length: end - start }, (_, index) => sampleMessage(options, start + index, now)))
  return end
})

/** Publishes `count` payments as fast as they are confirmed; gives the number confirmed so far, batch by batch. */
export const sampleBatches = (options: SampleOptions, count: number) =>
  Stream.range(0, Math.ceil(count / batchSize) - 1).pipe(
    Stream.mapEffect((batch) => publishSamples(options, batch * batchSize, Math.min(count, (batch + 1) * batchSize)))
  )
