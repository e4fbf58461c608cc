import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import * as Worker from "../../src/streams/Worker.ts"
import { traced, traceparentOf } from "../support/Spans.ts"
import { deadLetter, elapse, onStage, seen, send, start, watch } from "../support/TopicStage.ts"

const [traceId, spanId] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"]
const traceparent = `00-${traceId}-${spanId}-01`
const fromPublisher = { headers: { traceparent, tracestate: "vendor=1", key: "k" }, id: "m" }

const traceOf = ({
  headers: { traceparent, tracestate }
}: {
  readonly headers: Readonly<Record<string, unknown>>
}) => ({
  traceparent,
  ...(tracestate === undefined ? {} : { tracestate })
})

/** Gives its input back, and publishes it elsewhere too. */
const fanOut = Worker.make("w", { topic: "in", outputTopic: "out" }, (input: unknown) =>
  Effect.as(Worker.publish("beside", input), input)
)

const failing = (maxRetries: number) =>
  Worker.make("w", { topic: "in", retry: RetryPolicy.fixed({ maxRetries, initialDelay: "1 second" }) }, () =>
    Effect.fail("secret")
  )

describe("The trace of a message", () => {
  onStage("goes on through outputs and what a handler publishes, where nobody collects spans", () =>
    Effect.gen(function* () {
      yield* watch("out", "beside")
      yield* start(fanOut)
      yield* send("in", "1", fromPublisher)
      yield* send("in", "2")
      for (const topic of ["out", "beside"])
        assert.deepStrictEqual((yield* seen(topic)).map(traceOf), [
          { traceparent, tracestate: "vendor=1" },
          { traceparent: undefined }
        ])
    })
  )

  onStage("has a span for each message, in its publisher's trace, and goes on from there", () =>
    traced((spans) =>
      Effect.gen(function* () {
        yield* watch("out", "beside")
        yield* start(fanOut)
        yield* send("in", "1", fromPublisher)
        yield* send("in", "2", { id: "n" })
        const [one, other] = spans
        assert.deepStrictEqual([one?.name, one?.traceId, one?.parentId], ["process in", traceId, spanId])
        assert.deepStrictEqual(one?.attributes, {
          "messaging.system": "memory",
          "messaging.operation.type": "process",
          "messaging.operation.name": "process",
          "messaging.destination.name": "in",
          "messaging.message.id": "m",
          "messaging.consumer.group.name": "w",
          "paystream.worker": "w"
        })
        assert.isUndefined(other?.parentId)
        assert.isFalse(spans.some(({ isError }) => isError))
        assert.isDefined(one)
        assert.isDefined(other)
        for (const topic of ["out", "beside"])
          assert.deepStrictEqual((yield* seen(topic)).map(traceOf), [
            { traceparent: traceparentOf(one), tracestate: "vendor=1" },
            { traceparent: traceparentOf(other) }
          ])
      })
    )
  )

  onStage("is a new one where its publisher's cannot be read, without what was noted on that", () =>
    traced((spans) =>
      Effect.gen(function* () {
        yield* watch("out", "beside")
        yield* start(fanOut)
        yield* send("in", "1", { headers: { traceparent: "unreadable", tracestate: "vendor=1" } })
        const [one] = spans
        assert.isDefined(one)
        assert.isUndefined(one.parentId)
        for (const topic of ["out", "beside"])
          assert.deepStrictEqual((yield* seen(topic)).map(traceOf), [{ traceparent: traceparentOf(one) }])
      })
    )
  )

  onStage("has one for each attempt, failed ones as errors without their texts, up to the dead letter", () =>
    traced((spans) =>
      Effect.gen(function* () {
        yield* start(failing(1))
        yield* send("in", "1", fromPublisher)
        yield* elapse("1 second")
        assert.deepStrictEqual(
          spans.map(({ attributes, isError, parentId }) => [attributes["error.type"], isError, parentId]),
          [
            ["retried", true, spanId],
            ["retries_exhausted", true, spanId]
          ]
        )
        assert.notInclude(JSON.stringify(spans), "secret")
        assert.strictEqual((yield* deadLetter("in")).headers.traceparent, traceparent)
      })
    )
  )

  onStage("begins with the first attempt at a message that its publisher did not trace", () =>
    traced((spans) =>
      Effect.gen(function* () {
        yield* start(failing(2))
        yield* send("in", "1")
        yield* elapse("1 second")
        yield* elapse("1 second")
        const [first, second, third] = spans
        assert.deepStrictEqual([second?.parentId, third?.parentId], [first?.spanId, first?.spanId])
        assert.strictEqual((yield* deadLetter("in")).headers.traceparent, first && traceparentOf(first))
      })
    )
  )
})
