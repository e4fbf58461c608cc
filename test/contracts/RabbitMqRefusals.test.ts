/** What a RabbitMQ takes from nobody is its publisher's failure, and nobody else's for long; workers on it go on. */
import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import { Broker, type TopicMessage } from "../../src/domain/ports/Broker.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import { Supervisor } from "../../src/streams/Supervisor.ts"
import { topicWorker } from "../../src/streams/TopicWorker.ts"
import * as Worker from "../../src/streams/Worker.ts"
import { bytes, takeAll } from "../support/Messages.ts"
import { rabbitMq } from "../support/Services.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as RabbitMq from "../support/servers/RabbitMq.ts"
import { subscribeQueue } from "../support/TopicSteps.ts"

const largest = 20_000
const deadline = { deadline: "20 seconds", every: "50 millis" } as const

/** A RabbitMQ that takes no body above `largest`. */
const small = Effect.gen(function* () {
  const server = yield* RabbitMq.startOwn
  yield* server.ctl("eval", `application:set_env(rabbit, max_message_size, ${largest}).`)
  return rabbitMq({ url: server.url })
})

const message = (topic: string, size: number, fields: Partial<TopicMessage> = {}): TopicMessage => ({
  topic,
  id: undefined,
  body: bytes(`"${"x".repeat(size - 2)}"`),
  headers: {},
  contentType: undefined,
  publishedAtMillis: undefined,
  ...fields
})

const publish = (...messages: ReadonlyArray<TopicMessage>) => Broker.use((broker) => broker.publishToTopics(messages))

describe("A RabbitMQ", () => {
  it.live("refuses what is too large, at first and ever after, and takes the others", () =>
    Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const topic = `test-${randomUUID()}`
        const { name } = yield* subscribeQueue(topic, "g")
        for (const _ of ["the first", "one that follows"]) {
          const error = yield* Effect.flip(publish(message(topic, largest + 1)))
          assert.strictEqual(error.reason._tag, "MessageRefused", error.message)
          assert.match(error.message, /20001 bytes; the broker takes 20000/)
          yield* eventually(publish(message(topic, largest)), deadline)
        }
        assert.strictEqual((yield* takeAll(name)).length, 2)
      }).pipe(Effect.provide(yield* small))
    })
  )

  it.live("refuses headers and ids that cannot be written, and takes the others", () =>
    Effect.gen(function* () {
      const topic = `test-${randomUUID()}`
      for (const fields of [{ headers: { big: "x".repeat(200_000) } }, { id: "x".repeat(256) }]) {
        const error = yield* Effect.flip(publish(message(topic, 10, fields)))
        assert.strictEqual(error.reason._tag, "MessageRefused")
        assert.isFalse(error.isRetryable)
      }
      yield* publish(message(topic, 10))
    }).pipe(Effect.provide(rabbitMq()))
  )

  it.live("sees a worker go on when an output, a publish, or a dead letter is too large", () =>
    Effect.gen(function* () {
      const topic = `test-${randomUUID()}`
      const worker = Worker.make(
        "w",
        { topic, outputTopic: `${topic}.out`, concurrency: 4, retry: RetryPolicy.none },
        (input) =>
          Effect.gen(function* () {
            const text = String(input)
            if (text.length > largest - 10) return yield* Worker.reject("no")
            if (text === "publishes") yield* Worker.publish(`${topic}.other`, "x".repeat(largest + 1))
            return text === "gives" ? "x".repeat(largest + 1) : text
          })
      )
      yield* Effect.gen(function* () {
        const broker = yield* Broker
        const outputs = yield* subscribeQueue(`${topic}.out`, "g")
        yield* broker.subscribe(topic, "w")
        const fiber = yield* Effect.forkScoped(Stream.runDrain(topicWorker(worker)))
        const bodies = [
          '"gives"',
          '"publishes"',
          `"${"x".repeat(largest - 2)}"`,
          ...Array.from({ length: 20 }, (_, n) => `${n}`)
        ]
        yield* publish(...bodies.map((body) => ({ ...message(topic, 10), body: bytes(body) })))
        yield* eventually(
          Effect.gen(function* () {
            assert.isAtLeast(yield* broker.depth(outputs.name), 20)
            assert.isAtLeast(yield* broker.depth(`${topic}.dlq`), 3)
          }),
          deadline
        )
        const { request } = yield* Shutdown
        yield* Effect.andThen(request, Fiber.join(fiber))
        const letters = yield* takeAll(`${topic}.dlq`)
        const reasons = new Set(letters.map(({ headers }) => headers["x-paystream-reason"]))
        assert.sameMembers([...reasons], ["invalid_output", "retries_exhausted", "rejected"])
        assert.strictEqual(yield* broker.depth(`${topic}.w`), 0)
      }).pipe(Effect.provide(Layer.mergeAll(yield* small, Shutdown.layer, Supervisor.layer)))
    })
  )
})
