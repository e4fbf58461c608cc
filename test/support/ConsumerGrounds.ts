/** What topic workers stand on as processes: each broker, with a database of its own. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { Context, Effect, Layer, Redacted } from "effect"
import { inject } from "vitest"
import type { Broker } from "../../src/domain/ports/Broker.ts"
import * as EmbeddedBroker from "../../src/layers/embedded/EmbeddedBroker.ts"
import * as EmbeddedPostgres from "../../src/layers/embedded/EmbeddedPostgres.ts"
import { newDatabase, query } from "./Databases.ts"
import { keepPort } from "./EmbeddedStage.ts"
import { admin, kafkaMakingTopics } from "./KafkaServices.ts"
import * as Queues from "./Queues.ts"
import { rabbitMq } from "./Services.ts"
import * as Kafka from "./servers/Kafka.ts"
import * as RabbitMq from "./servers/RabbitMq.ts"
import { temporaryFolder } from "./servers/temporaryFolder.ts"

export interface Ground {
  /** What the product is told of broker and database. */
  readonly env: Readonly<Record<string, string>>
  readonly broker: Context.Context<Broker>
  /** Retries that wait at the broker for a group, `millis` each. */
  readonly parked: (group: string, millis: number) => Effect.Effect<number>
}

const rabbitMqAt = Effect.fnUntraced(function* (url: string) {
  const database = yield* newDatabase
  return {
    env: { RABBITMQ_URL: url, DATABASE_URL: Redacted.value(database) },
    broker: yield* Layer.build(rabbitMq({ url })),
    parked: (group, millis) => Queues.depth(url, `${group}.retry.${millis}`)
  } satisfies Ground
})

const kafkaAt = Effect.fnUntraced(function* (address: string) {
  const database = yield* newDatabase
  const env = { KAFKA_BROKERS: address, KAFKA_PARTITIONS: "3", KAFKA_SESSION_TIMEOUT_SECONDS: "2" }
  return {
    env: { ...env, BROKER: "kafka", DATABASE_URL: Redacted.value(database) },
    broker: yield* Layer.build(kafkaMakingTopics({ env })),
    parked: (group) =>
      admin(
        async (connected) =>
          (await connected.fetchTopicOffsets(`${group}.retry`)).reduce((sum, { high }) => sum + Number(high), 0),
        address
      )
  } satisfies Ground
})

const waiting = `SELECT count(*) AS count FROM paystream_broker.job WHERE name = $1 AND start_after > now()`

const embedded = Effect.gen(function* () {
  const dataDirectory = yield* temporaryFolder("data")
  yield* keepPort(dataDirectory)
  const server = EmbeddedPostgres.layer({ dataDirectory })
  const built = yield* Layer.build(Layer.provideMerge(EmbeddedBroker.layer, server))
  const { url } = Context.get(built, EmbeddedPostgres.EmbeddedPostgres)
  const processId = async () =>
    Number((await readFile(join(dataDirectory, "data/postmaster.pid"), "utf8")).split("\n")[0])
  return {
    env: { BROKER: "embedded", DATABASE: "embedded", PAYSTREAM_DATA: dataDirectory },
    broker: built,
    parked: (group: string) =>
      Effect.map(query<{ count: string }>(url, waiting, [group]), ([row]) => Number(row?.count)),
    /** Killed, it is started again by the next process that comes. */
    restart: Effect.promise(async () => void process.kill(await processId(), "SIGKILL"))
  }
})

/** On the servers that the tests share. */
export const shared = {
  RabbitMQ: Effect.suspend(() => rabbitMqAt(inject("rabbitmqUrl"))),
  Kafka: Effect.suspend(() => kafkaAt(inject("kafkaBrokers"))),
  "the embedded broker": embedded
}

/** On servers that a test may restart. */
export const own = {
  RabbitMQ: Effect.gen(function* () {
    const { restart, url } = yield* RabbitMq.startOwn
    return { ...(yield* rabbitMqAt(url)), restart }
  }),
  Kafka: Effect.gen(function* () {
    const { address, restart } = yield* Kafka.startOwn
    return { ...(yield* kafkaAt(address)), restart }
  }),
  "the embedded broker": embedded
}
