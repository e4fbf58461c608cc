import { createServer } from "node:net"
import { assert, describe } from "@effect/vitest"
import { Array as Arr, Effect } from "effect"
import * as Collector from "../support/Collector.ts"
import * as ConsumerGrounds from "../support/ConsumerGrounds.ts"
import * as ConsumerStage from "../support/ConsumerStage.ts"
import * as HealthPages from "../support/HealthPages.ts"
import { inTurn } from "../support/inTurn.ts"
import * as Queues from "../support/Queues.ts"
import * as Stage from "../support/Stage.ts"
import { eventually } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"

/** Makes sure that a port is taken, by us or by whoever has it already. */
const taken = (port: number) =>
  Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>>((resume) => {
      const server = createServer()
      server.once("error", () => resume(Effect.succeed(server)))
      server.listen(port, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )

const [traceId, spanId] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"]
/** As OpenTelemetry numbers them. */
const [ok, error] = [1, 2]
const [client, consumer] = [3, 5]

for (const runtime of Stage.runtimes) {
  const live = inTurn(runtime)
  describe.concurrent(`a worker's pages on ${runtime}`, () => {
    live("count every message by its outcome, and say that all is well", () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const port = yield* freePort
        const worker = yield* Stage.start(stage, { runtime, env: { HEALTH_PORT: `${port}` } })
        yield* HealthPages.waitForStatus(port, "/readyz", 200)
        assert.strictEqual((yield* HealthPages.page(port, "/healthz")).status, 200)
        const payments = Stage.payments(20)
        yield* Stage.publish(stage, [...payments, ...payments.slice(0, 5), ...Array(3).fill({ body: "" })])
        yield* eventually(
          Effect.map(HealthPages.page(port, "/metrics"), ({ text }) =>
            assert.deepInclude(HealthPages.outcomes(text), { stored: 20, duplicate: 5, dead_lettered: 3 })
          ),
          { deadline: "20 seconds", every: "100 millis" }
        )
        const { text } = yield* HealthPages.page(port, "/metrics")
        for (const name of ["batch_size", "store_seconds", "end_to_end_seconds", "in_flight", "queue_depth"]) {
          assert.include(text, `paystream_${name}`)
        }
        assert.match(text, /^paystream_in_flight 0$/m)
        yield* worker.kill("SIGTERM")
        assert.strictEqual(yield* worker.exit, 0)
      })
    )

    live("tell of topic workers too: what became of messages, how long it took, and what waits", () =>
      Effect.gen(function* () {
        const stage = yield* ConsumerStage.make(yield* ConsumerGrounds.shared.RabbitMQ)
        const port = yield* freePort
        yield* stage.publish(Arr.makeBy(20, (n) => ({ n, ...(n === 0 ? { does: "fails once" } : {}) })))
        const worker = yield* stage.start(runtime, "relay", { HEALTH_PORT: `${port}` })
        yield* HealthPages.waitForStatus(port, "/readyz", 200)
        const metrics = Effect.map(HealthPages.page(port, "/metrics"), ({ text }) =>
          HealthPages.ofWorker(text, "relay")
        )
        const found = yield* eventually(
          Effect.tap(metrics, (found) =>
            Effect.sync(() => assert.deepInclude(found, { "messages_total done": 20, "messages_total retried": 1 }))
          ),
          { deadline: "20 seconds", every: "100 millis" }
        )
        assert.deepInclude(found, { handling_seconds_count: 21, in_flight: 0 })
        // asked for when the worker began: before it had taken anything, or after
        assert.include([...Array(21).keys()], found.backlog)
        assert.isAtLeast(found.handling_seconds_sum ?? 0, 20 * 0.002)
        yield* worker.kill("SIGTERM")
        assert.strictEqual(yield* worker.exit, 0)
      })
    )

    live("are done without where the default port is taken, and are an error where it was asked for", () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        yield* taken(8081)
        yield* Stage.publish(stage, Stage.payments(1))
        const unasked = yield* Stage.run(stage, { runtime, env: { HEALTH_PORT: "", MAX_MESSAGES: "1" } })
        assert.strictEqual(unasked.code, 0)
        assert.include(unasked.stdout, "port 8081 is taken")
        const port = yield* freePort
        yield* taken(port)
        const asked = yield* Stage.run(stage, { runtime, env: { HEALTH_PORT: `${port}` } })
        assert.strictEqual(asked.code, 2)
        assert.include(asked.stderr, `HEALTH_PORT: port ${port} is taken`)
      })
    )

    live("send one trace of a message on its way through two workers, with the attempt that failed", () =>
      Effect.gen(function* () {
        const stage = yield* ConsumerStage.make(yield* ConsumerGrounds.shared.RabbitMQ)
        const collector = yield* Collector.start
        const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }
        const workers = [yield* stage.start(runtime, "relay", env), yield* stage.start(runtime, "effects", env)]
        yield* stage.publish([{ n: 1, does: "fails once" }], { traceparent: `00-${traceId}-${spanId}-01` })
        yield* eventually(
          Effect.map(stage.effects, (effects) => assert.deepStrictEqual(effects, [1])),
          { deadline: "60 seconds" }
        )
        for (const worker of workers) {
          yield* worker.kill("SIGTERM")
          assert.strictEqual(yield* worker.exit, 0)
        }
        const spans = collector.spans().filter((span) => span.traceId === traceId && span.name.startsWith("process "))
        const [failed, handled] = spans.filter(({ name }) => name.endsWith(".in"))
        const next = spans.filter(({ name }) => name.endsWith(".out"))
        assert.deepStrictEqual(
          [failed, handled].map((span) => span?.parentSpanId),
          [spanId, spanId]
        )
        assert.deepStrictEqual(
          next.map(({ parentSpanId }) => parentSpanId),
          [handled?.spanId]
        )
        assert.deepStrictEqual(
          [failed, handled, ...next].map((span) => span?.status?.code),
          [error, ok, ok]
        )
      })
    )

    live("have their numbers sent to a collector too, with the traces that publishers began", () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const collector = yield* Collector.start
        const traced = { id: "traced", body: '"secret-body"', headers: { traceparent: `00-${traceId}-${spanId}-01` } }
        yield* Stage.publish(stage, [traced, ...Stage.payments(5), { id: "broken", body: '{"secret-body"' }])
        const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }
        assert.strictEqual((yield* Stage.drain(stage, { runtime, env })).code, 0)
        const joined = collector.spans().find((span) => span.traceId === traceId)
        assert.strictEqual(joined?.parentSpanId, spanId)
        assert.strictEqual(joined?.name, `process ${stage.queue}`)
        const batch = collector.spans().find(({ links = [] }) => links.some((link) => link.spanId === spanId))
        assert.strictEqual(batch?.name, `process ${stage.queue}`)
        assert.isTrue(collector.metricNames().has("paystream_messages_total"))
        assert.deepStrictEqual([...collector.serviceNames()], ["paystream-worker"])
        assert.notInclude(collector.text(), "secret-body")
        assert.deepStrictEqual((yield* Stage.takeDeadLetters(stage)).map(Queues.idOf), ["broken"])
      })
    )

    live("name messages and statements as the conventions do, and tell nothing of a payload or a secret", () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const collector = yield* Collector.start
        const database = new URL(stage.databaseUrl)
        database.password ||= "word-of-the-database"
        const refused = { id: "id-of-a-parameter", body: '{"body-of-a-payment": "\\u0000"}' }
        yield* Stage.publish(stage, [{ id: "stored", body: '"body-of-a-payment"' }, refused])
        const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, DATABASE_URL: database.href }
        assert.strictEqual((yield* Stage.drain(stage, { runtime, env })).code, 0)

        const spans = collector.spans().map((span) => ({ ...span, attributes: Collector.attributesOf(span) }))
        const batches = spans.filter(({ kind }) => kind === consumer)
        for (const { attributes } of batches)
          assert.deepInclude(attributes, {
            "messaging.system": "rabbitmq",
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": stage.queue
          })
        const counts = batches.map(({ attributes }) => Number(attributes["messaging.batch.message_count"]))
        assert.strictEqual(
          Arr.reduce(counts, 0, (sum, count) => sum + count),
          2
        )
        const insert = "INSERT INTO payments (payload"
        const inserts = spans.filter(({ attributes }) => String(attributes["db.query.text"]).includes(insert))
        for (const { attributes, kind } of inserts) {
          assert.strictEqual(kind, client)
          assert.deepInclude(attributes, {
            "db.system.name": "postgresql",
            "db.namespace": database.pathname.slice(1),
            "server.address": database.hostname,
            "server.port": Number(database.port)
          })
        }
        const failed = inserts.filter(({ status }) => status?.code === error)
        assert.isAbove(failed.length, 0)
        for (const { attributes } of failed)
          assert.deepInclude(attributes, { "db.response.status_code": "22P05", "error.type": "22P05" })
        // the last are PostgreSQL's own words about the payload
        const secrets = ["body-of-a-payment", "id-of-a-parameter", database.password, "Unicode escape"]
        for (const secret of secrets) assert.notInclude(collector.text(), secret)
      })
    )

    live("are sent no longer than a second at the end, to a collector that never answers", () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const OTEL_EXPORTER_OTLP_ENDPOINT = yield* Collector.silent
        const port = yield* freePort
        // all else at the end of an idle worker that is through with its start takes a part of what is left
        const env = { OTEL_EXPORTER_OTLP_ENDPOINT, SHUTDOWN_TIMEOUT_SECONDS: "2.9", HEALTH_PORT: `${port}` }
        const worker = yield* Stage.start(stage, { runtime, env })
        yield* HealthPages.waitForStatus(port, "/readyz", 200)
        yield* worker.kill("SIGTERM")
        assert.strictEqual(yield* worker.exit, 0)
        assert.notInclude(worker.stdout.join("\n"), "not drained")
      })
    )
  })
}
