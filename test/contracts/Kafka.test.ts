/** What a Kafka of its own is needed for: it dies and comes back, and it asks who is there. */
import { readFile } from "node:fs/promises"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { Broker } from "../../src/domain/ports/Broker.ts"
import { kafka, kafkaMakingTopics } from "../support/KafkaServices.ts"
import { bytes, take, text } from "../support/Messages.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as Kafka from "../support/servers/Kafka.ts"
import { content, deliverLater, newGroup, publish } from "../support/TopicSteps.ts"

const deadline = { deadline: "20 seconds" } as const

describe.concurrent("A Kafka", () => {
  it.live(
    "loses no message and no retry when it is killed and comes back, and ends its consumers with an error worth trying again",
    () =>
      Effect.gen(function* () {
        const server = yield* Kafka.startOwn
        yield* Effect.gen(function* () {
          const { group, topic } = yield* newGroup
          const broker = yield* Broker
          yield* publish(topic, ["before"])
          yield* deliverLater(group, content({ body: bytes("later") }), "500 millis")
          const consumer = yield* Effect.forkScoped(
            Effect.flip(Stream.runDrain(broker.deliveries(group, { prefetch: 5 })))
          )
          // by itself: who publishes nothing wants to know as well
          yield* broker.publishToTopics([])
          yield* server.kill
          const error = yield* Fiber.join(consumer)
          assert.strictEqual(error.reason._tag, "BrokerAway")
          assert.strictEqual(yield* broker.status, "away")
          for (const attempt of [publish(topic, ["lost"]), broker.publishToTopics([])]) {
            assert.strictEqual((yield* Effect.flip(attempt)).reason._tag, "BrokerAway")
          }
          yield* server.start
          yield* eventually(broker.publishToTopics([]), deadline)
          assert.strictEqual(yield* broker.status, "connected")
          yield* eventually(publish(topic, ["after"]), deadline)
          const taken = yield* eventually(take(group, 3), deadline)
          assert.deepStrictEqual(taken.map(({ body }) => text(body)).sort(), ["after", "before", "later"])
          assert.strictEqual(yield* broker.status, "connected")
        }).pipe(
          Effect.provide(
            kafkaMakingTopics({ env: { KAFKA_BROKERS: server.address, KAFKA_SESSION_TIMEOUT_SECONDS: "2" } })
          )
        )
      }),
    90_000
  )

  it.live(
    "asks who is there: PLAIN, SCRAM and TLS let in who is known, and refuse anybody else without showing a secret",
    () =>
      Effect.gen(function* () {
        const { certificates, password, sasl, tls, user } = yield* Kafka.startSecure
        const file = (path: string) => Effect.promise(() => readFile(path, "utf8"))
        const login = (mechanism: string, secret = password) => ({
          KAFKA_BROKERS: sasl,
          KAFKA_SASL_MECHANISM: mechanism,
          KAFKA_SASL_USERNAME: user,
          KAFKA_SASL_PASSWORD: secret
        })
        const withAuthority = { KAFKA_BROKERS: tls, KAFKA_SSL_CA: yield* file(certificates.authorityFile) }
        const withCertificate = {
          ...withAuthority,
          KAFKA_SSL_CERT: yield* file(certificates.clientCertificateFile),
          KAFKA_SSL_KEY: yield* file(certificates.clientKeyFile)
        }
        const passage = Effect.gen(function* () {
          const { group, topic } = yield* newGroup
          yield* publish(topic, ["one"])
          assert.strictEqual((yield* take(group, 1)).length, 1)
        })
        const welcome = [login("plain"), login("scram-sha-256"), login("scram-sha-512"), withAuthority, withCertificate]
        yield* Effect.forEach(welcome, (env) => Effect.provide(passage, kafkaMakingTopics({ env })), {
          concurrency: "unbounded"
        })
        const strangers = [
          login("plain", "wr0ng"),
          login("scram-sha-512", "wr0ng"),
          { KAFKA_BROKERS: tls, KAFKA_SSL: "true" }
        ]
        for (const env of strangers) {
          const error = yield* Effect.flip(
            Effect.provide(
              Broker.use((one) => one.subscribe("t", "g")),
              kafka({ env })
            )
          )
          assert.isTrue(error._tag === "BrokerError" && !error.isRetryable, error.message)
          assert.match(error.message, /check KAFKA_S/)
          assert.notInclude(error.message, "wr0ng")
        }
      }),
    90_000
  )
})
