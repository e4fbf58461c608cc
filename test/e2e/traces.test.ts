/** The trace of whoever calls the API, on each broker, where nobody collects spans. */
import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { eventTopic } from "../../src/domain/PaymentMessages.ts"
import { topics } from "../../src/domain/PixEvent.ts"
import { Broker, type Delivery } from "../../src/domain/ports/Broker.ts"
import * as Api from "../support/Api.ts"
import * as ConsumerGrounds from "../support/ConsumerGrounds.ts"
import * as Payments from "../support/Payments.ts"
import { settle } from "../support/QueueSteps.ts"
import { eventually } from "../support/servers/eventually.ts"

const deadline = { deadline: "60 seconds" } as const

const [traceId, spanId] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"]
const trace = { traceparent: `00-${traceId}-${spanId}-01`, tracestate: "vendor=1" }

/** What a payment comes to in a request that waits for it. */
const told = (["requested", "processing", "succeeded"] as const).map(eventTopic)

/** What comes to topics from now on, for a group of the test's own. */
const listen = (names: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const broker = yield* Broker
    const heard: Array<Delivery> = []
    const group = `traces-${randomUUID()}`
    for (const name of names) {
      const deliveries = broker.deliveries(yield* broker.subscribe(name, group), { prefetch: 10 })
      yield* Effect.forkScoped(
        Stream.runForEach(deliveries, (delivery) => {
          heard.push(delivery)
          return settle([delivery])
        })
      )
    }
    // others may publish to these topics as well
    const ofKey = (key: string) => heard.filter(({ headers }) => headers.key === key)
    return (key: string, count: number) =>
      eventually(
        Effect.sync(() => {
          assert.strictEqual(ofKey(key).length, count, `of ${key}`)
          return ofKey(key).map(({ headers: { traceparent, tracestate } }) => ({ traceparent, tracestate }))
        }),
        deadline
      )
  })

/** Payments are processed within the request, and what is told of them is published right after each commit. */
const withoutOutbox = { ENABLE_OUTBOX_PATTERN: "false", ENABLE_ASYNC_COMMANDS: "false", PAYMENT_GATEWAY: "sandbox" }

const none = { traceparent: undefined, tracestate: undefined }

const callers: ReadonlyArray<readonly [headers: Record<string, string>, goesOn: object]> = [
  [trace, trace],
  [{}, none],
  [{ ...trace, traceparent: "unreadable" }, none]
]

const brokers = [
  ["RabbitMQ", "rabbitmq", "node"],
  ["Kafka", "kafka", "bun"],
  ["the embedded broker", "embedded", "node"],
  ["RabbitMQ", "rabbitmq", "bun"]
] as const

describe("A caller's trace", () => {
  for (const [name, kind, runtime] of brokers) {
    it.live(
      `goes on as it came with PIX events and payments on ${name}, and is never made up (API on ${runtime})`,
      () =>
        Effect.gen(function* () {
          const ground = yield* ConsumerGrounds.shared[name]
          const heard = yield* Effect.provide(listen([topics.requested, ...told]), ground.broker)
          const env = { ...ground.env, ...withoutOutbox, API_BROKERS: kind }
          const { url } = yield* Api.startAt({ runtime, env })
          const route = kind === "rabbitmq" ? "/rabbit" : `/${kind}`
          for (const [headers, goesOn] of callers) {
            const transactionId = randomUUID()
            const sent = yield* Api.post(`${url}${route}`, Api.request(transactionId), headers)
            assert.strictEqual(sent.status, 200, sent.text)
            assert.deepStrictEqual(yield* heard(transactionId, 1), [goesOn])

            const key = { "idempotency-key": transactionId }
            const paid = yield* Api.post(`${url}/payments`, Payments.body(), { ...headers, ...key })
            assert.strictEqual(paid.status, 201, paid.text)
            assert.deepStrictEqual(
              yield* heard(Payments.told(paid).id, told.length),
              told.map(() => goesOn)
            )
          }
        }),
      120_000
    )
  }
})
