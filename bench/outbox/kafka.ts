/** Events to a topic of Kafka. */
import { randomUUID } from "node:crypto"
import { Effect } from "effect"
import * as Kafka from "../kafka.ts"
import * as Services from "../worker/Services.ts"
import type { Place, Testbed } from "./Testbed.ts"

const partitions = 4

/** Started, and stopped with the scope. */
export const start = Effect.gen(function* () {
  const [clients, database] = yield* Effect.all([Kafka.start, Services.database], { concurrency: 2 })
  const testbed: Testbed = {
    broker: "kafka",
    title: `${Kafka.title}, PostgreSQL ${database.version}`,
    env: { BROKER: "kafka", KAFKA_BROKERS: clients.address, DATABASE_URL: database.url },
    // It connects to Kafka with the first event.
    started: /"connected to PostgreSQL"/,
    databaseUrl: database.url,
    postgres: database.postgres,
    fresh: fresh(clients)
  }
  return testbed
})

const fresh = Effect.fnUntraced(function* (clients: Kafka.Clients) {
  const topic = `bench.${randomUUID()}`
  yield* Kafka.makeTopics(clients, [topic], partitions)
  const place: Place = {
    topic,
    takeAll: () =>
      Effect.map(Kafka.takeAll(clients, topic), (found) =>
        found.map(({ key, value }) => ({ key, n: JSON.parse(value).n }))
      )
  }
  return place
})
