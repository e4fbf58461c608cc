/** How long a retry waits, as each broker has it on its own books: nobody's clock is read. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Context, Duration, Effect, Layer } from "effect"
import { Broker, queueOf, type Subscription } from "../../src/domain/ports/Broker.ts"
import * as EmbeddedBroker from "../../src/layers/embedded/EmbeddedBroker.ts"
import { retryTopicOf } from "../../src/layers/kafka/KafkaNames.ts"
import { withChannel } from "../support/Amqp.ts"
import { newDatabase, query } from "../support/Databases.ts"
import * as KafkaRecords from "../support/KafkaRecords.ts"
import { kafkaMakingTopics } from "../support/KafkaServices.ts"
import { rabbitMq } from "../support/Services.ts"
import { content, newGroup } from "../support/TopicSteps.ts"

/** So long that none is over while the books are read. */
const delays = [60_000, 60_001, 60_050, 60_099, 60_100, 61_234, 3_600_001, 86_400_000]

/** The wait of each message that the broker keeps for a group, by the message's id, in milliseconds. */
type WaitsOf = (group: Subscription) => Effect.Effect<ReadonlyMap<string, number>, unknown>

class Books extends Context.Service<Books, { readonly waitsOf: WaitsOf }>()("paystream/test/Books") {}

/** Of the queue that a retry waits in, as the broker has it: it takes no other arguments for a queue that is there. */
const timeToLive = (queue: string, delay: number) =>
  withChannel(async (channel) => {
    const millis = Math.ceil(delay / 100) * 100
    const { messageCount } = await channel.checkQueue(`${queue}.retry.${millis}`)
    assert.isAtLeast(messageCount, 1)
    await channel.assertQueue(`${queue}.retry.${millis}`, {
      durable: true,
      arguments: {
        "x-queue-type": "quorum",
        "x-message-ttl": millis,
        "x-expires": millis + 86_400_000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish"
      }
    })
    return [String(delay), millis] as const
  })

const ofRabbitMq: WaitsOf = (group) =>
  Effect.gen(function* () {
    const { name } = yield* queueOf("RabbitMQ", group)
    return new Map(yield* Effect.forEach(delays, (delay) => timeToLive(name, delay)))
  })

const ofKafka: WaitsOf = (group) => {
  if (group._tag === "Queue") return Effect.die(new Error("Kafka has no queues"))
  return Effect.map(
    KafkaRecords.recordsOf(retryTopicOf(group)),
    (records) =>
      new Map(
        records.map(({ headers, timestamp }) => [
          String(headers?.["message-id"]),
          Number(String(headers?.["x-paystream-due"])) - Number(timestamp)
        ])
      )
  )
}

const selectWaits = `
  SELECT data->>'id' AS id, round(extract(epoch FROM start_after - created_on) * 1000)::int AS millis
  FROM paystream_broker.job WHERE name = $1`

const ofEmbedded =
  (url: Effect.Success<typeof newDatabase>): WaitsOf =>
  (group) =>
    Effect.gen(function* () {
      const { name } = yield* queueOf("embedded", group)
      const rows = yield* query<{ id: string; millis: number }>(url, selectWaits, [name])
      return new Map(rows.map(({ id, millis }) => [id, millis]))
    })

const suite = (name: string, broker: Layer.Layer<Broker | Books, unknown>): void =>
  withLayer(broker, { excludeTestServices: true, timeout: "60 seconds" })(`A retry (${name})`, (it) => {
    it.effect("waits at the broker for as long as it was asked to, and for less than 0.1 s more", () =>
      Effect.gen(function* () {
        const { group } = yield* newGroup
        const messages = delays.map((delay) => ({ ...content({ id: String(delay) }), delay: Duration.millis(delay) }))
        yield* Broker.use((port) => port.deliverLater(group, messages))
        const waits = yield* Books.use(({ waitsOf }) => waitsOf(group))
        for (const delay of delays) {
          const more = (waits.get(String(delay)) ?? Number.NaN) - delay
          assert.isTrue(more >= 0 && more < 100, `${more} ms more than ${delay}`)
        }
      })
    )
  })

const withBooks = (broker: Layer.Layer<Broker, unknown>, waitsOf: WaitsOf) =>
  Layer.merge(broker, Layer.succeed(Books, Books.of({ waitsOf })))

suite("RabbitMQ", withBooks(rabbitMq(), ofRabbitMq))
suite("Kafka", withBooks(kafkaMakingTopics(), ofKafka))
suite(
  "embedded",
  Layer.unwrap(Effect.map(newDatabase, (url) => withBooks(EmbeddedBroker.layerOn({ url }), ofEmbedded(url))))
)
