/** The measurements' topics on an embedded PostgreSQL, which the contestants share with us. */
import { randomUUID } from "node:crypto"
import { Context, Effect, Layer, Redacted } from "effect"
import { Client } from "pg"
import { Broker } from "../../src/domain/ports/Broker.ts"
import * as EmbeddedBroker from "../../src/layers/embedded/EmbeddedBroker.ts"
import * as EmbeddedPostgres from "../../src/layers/embedded/EmbeddedPostgres.ts"
import { temporaryFolder } from "../../test/support/servers/temporaryFolder.ts"
import { attempt, BenchmarkError } from "../BenchmarkError.ts"
import { message } from "./orders.ts"
import { group, type Testbed, type Topics } from "./Testbed.ts"

const publishAtOnce = 1_000
const encoder = new TextEncoder()

const client = (url: string) =>
  Effect.acquireRelease(
    attempt("connect to PostgreSQL", async () => {
      const client = new Client({ connectionString: url })
      await client.connect()
      return client
    }),
    (client) => Effect.ignore(attempt("disconnect", () => client.end()))
  )

const failed = (cause: { readonly message: string }) => new BenchmarkError({ message: cause.message, cause })

/** Started, and stopped with the scope. */
export const start = Effect.gen(function* () {
  const folder = yield* temporaryFolder("bench")
  const server = EmbeddedPostgres.layer({ dataDirectory: folder })
  const services = yield* Effect.mapError(Layer.build(Layer.provideMerge(EmbeddedBroker.layer, server)), failed)
  const broker = Context.get(services, Broker)
  const { url } = Context.get(services, EmbeddedPostgres.EmbeddedPostgres)
  const postgres = yield* client(Redacted.value(url))
  const { rows } = yield* attempt("ask for the version", () => postgres.query("SHOW server_version"))
  const testbed: Testbed = {
    title: `embedded PostgreSQL ${rows[0].server_version}`,
    env: { BROKER: "embedded", DATABASE: "embedded", PAYSTREAM_DATA: folder, DATABASE_URL: Redacted.value(url) },
    fill: (messages) => fill(broker, postgres, messages)
  }
  return testbed
})

const job = "paystream_broker.job"

const fill = Effect.fnUntraced(function* (broker: Broker["Service"], postgres: Client, messages: number) {
  const topic = `bench.${randomUUID()}`
  const [input, output] = [`${topic}.in`, `${topic}.out`]
  const [inputs, outputs] = [`${input}.${group}`, `${output}.check`]
  const prepared = Effect.gen(function* () {
    yield* broker.subscribe(input, group)
    yield* broker.subscribe(output, "check")
    for (let from = 0; from < messages; from += publishAtOnce) {
      const count = Math.min(publishAtOnce, messages - from)
      yield* broker.publishToTopics(Array.from({ length: count }, (_, index) => toMessage(input, from + index)))
    }
  })
  yield* Effect.acquireRelease(Effect.mapError(prepared, failed), () =>
    Effect.ignore(attempt("remove the rows", () => postgres.query(`TRUNCATE ${job}`)))
  )
  // What the filling has left to be done is not the contestant's work.
  yield* attempt("clean up", () => postgres.query(`VACUUM ANALYZE ${job}`))
  yield* attempt("write out", () => postgres.query("CHECKPOINT"))
  const topics: Topics = {
    env: { INPUT_TOPIC: input, OUTPUT_TOPIC: output, INPUT_QUEUE: inputs, OUTPUT_QUEUE: outputs },
    outputs: count(postgres, outputs),
    pauseMillis: 200,
    unsettled: count(postgres, inputs),
    takeOutputs: attempt("read the outputs", () => readAll(postgres, outputs))
  }
  return topics
})

const toMessage = (topic: string, sequence: number) => {
  const { id, key, text } = message(sequence)
  const body = encoder.encode(text)
  return { topic, id, body, headers: { key }, contentType: "application/json", publishedAtMillis: undefined }
}

const count = (postgres: Client, queue: string) =>
  Effect.map(
    attempt("count rows", () => postgres.query(`SELECT count(*) FROM ${job} WHERE name = $1`, [queue])),
    ({ rows }) => Number(rows[0].count)
  )

const readAll = async (postgres: Client, queue: string): Promise<ReadonlyArray<string>> => {
  const text = `SELECT data->>'body' AS body FROM ${job} WHERE name = $1 ORDER BY created_on, (data->>'order')::numeric`
  const { rows } = await postgres.query(text, [queue])
  return rows.map(({ body }) => Buffer.from(body, "base64").toString())
}
