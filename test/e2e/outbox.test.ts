/** Relays as processes: what they publish, keep, fail and forget. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { inject } from "vitest"
import * as EmbeddedPostgres from "../../src/layers/embedded/EmbeddedPostgres.ts"
import { newDatabase, query } from "../support/Databases.ts"
import * as HealthPages from "../support/HealthPages.ts"
import * as Lines from "../support/Lines.ts"
import * as Ground from "../support/OutboxGround.ts"
import * as Queues from "../support/Queues.ts"
import { eventually } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

type Runtime = Program.Runtime

const onSharedServers = Effect.flatMap(newDatabase, (url) => Ground.make(inject("rabbitmqUrl"), Redacted.value(url)))

describe.concurrent("a relay", () => {
  it.live("delivers within its poll what no notification tells of, and drains when it is stopped", () =>
    Effect.gen(function* () {
      const ground = yield* onSharedServers
      const queue = yield* Ground.keepAll(ground)
      yield* Ground.sql(ground, "ALTER TABLE outbox_events DISABLE TRIGGER outbox_events_hint")
      const port = yield* freePort
      const relay = yield* Ground.startRelay(ground, "node", { HEALTH_PORT: `${port}` })
      yield* HealthPages.waitForStatus(port, "/readyz", 200)
      const writer = yield* Ground.startWriter(ground)
      yield* eventually(
        Effect.sync(() => assert.isAbove(writer.count(), 200)),
        { deadline: "20 seconds" }
      )
      yield* writer.stop
      yield* Ground.waitUntilPublished(ground)
      const metrics = (yield* HealthPages.page(port, "/metrics")).text
      assert.match(metrics, /paystream_outbox_published_total \d{3}/)
      assert.match(metrics, /paystream_outbox_commit_to_confirm_seconds_count \d{3}/)
      yield* relay.kill("SIGTERM")
      assert.strictEqual(yield* relay.exit, 0)
      assert.strictEqual(Ground.checkArrivals(yield* Ground.arrivals(ground, queue), writer), 0)
    })
  )

  it.live(
    "tells of a transaction that stays open, holds up nobody else's events for it, and delivers its own later",
    () =>
      Effect.gen(function* () {
        const ground = yield* onSharedServers
        const queue = yield* Ground.keepAll(ground)
        const port = yield* freePort
        const relay = yield* Ground.startRelay(ground, "bun", {
          OUTBOX_OPEN_TRANSACTION_SECONDS: "1",
          HEALTH_PORT: `${port}`
        })
        const stranger = yield* Ground.stranger(ground)
        yield* stranger.query(
          `BEGIN; INSERT INTO outbox_events (topic, key, payload) VALUES ('events.slow', 'a', '{"n": 1}')`
        )
        yield* Ground.sql(
          ground,
          `INSERT INTO outbox_events (topic, key, payload) VALUES ('events.quick', 'a', '{"n": 2}')`
        )
        yield* Ground.waitUntilPublished(ground)
        yield* relay.waitForLine(/a transaction on the outbox stays open.*a stranger/)
        const { stdout } = yield* Ground.command(ground, "stats")
        assert.match(stdout, /open transaction: process \d+ \(a stranger\), idle in transaction/)
        yield* eventually(
          Effect.map(HealthPages.page(port, "/metrics"), ({ text }) => {
            assert.match(text, /^paystream_outbox_open_transaction_seconds\S* [1-9]/m)
            assert.match(text, /^paystream_outbox_slots\S* 64$/m)
          }),
          { deadline: "20 seconds" }
        )
        yield* stranger.query("COMMIT")
        yield* eventually(
          Effect.map(Queues.depth(ground.brokerUrl, queue), (depth) => assert.strictEqual(depth, 2)),
          { deadline: "20 seconds" }
        )
        const topics = (yield* Ground.arrivals(ground, queue)).map(({ topic }) => topic)
        assert.deepStrictEqual(topics, ["events.quick", "events.slow"])
      })
  )

  it.live("keeps events that nobody is bound to, fails a command without a queue, and operators bring it back", () =>
    Effect.gen(function* () {
      const ground = yield* onSharedServers
      const command = `test-${ground.exchange}.commands.process`
      const port = yield* freePort
      const relay = yield* Ground.startRelay(ground, "bun", { OUTBOX_MAX_ATTEMPTS: "2", HEALTH_PORT: `${port}` })
      const settings = ["--json"]
      yield* Ground.sql(
        ground,
        `INSERT INTO outbox_events (topic, key, payload) VALUES ('nobody', 'b', '{"n": 0}'), ($1, 'a', '{"n": 1}'), ($1, 'a', '{"n": 2}')`,
        [command]
      )
      yield* relay.waitForLine(/outbox event is dead/)
      const unrouted = yield* eventually(
        Effect.tap(Ground.arrivals(ground, `${ground.exchange}.unrouted`), (found) =>
          Effect.sync(() => assert.strictEqual(found.length, 1))
        ),
        { deadline: "20 seconds" }
      )
      assert.deepStrictEqual(unrouted[0]?.body, { n: 0 })
      const listed = yield* Ground.command(ground, "list", ...settings)
      const [dead] = JSON.parse(listed.stdout) as ReadonlyArray<{ id: string; attempts: number; lastError: string }>
      assert.strictEqual(dead?.attempts, 2)
      assert.include(dead?.lastError, command)
      yield* eventually(
        Effect.map(HealthPages.page(port, "/metrics"), ({ text }) => {
          assert.match(text, /^paystream_outbox_dead\S* 1$/m)
          assert.match(text, /^paystream_outbox_oldest_pending_seconds\S* \d/m)
        }),
        { deadline: "20 seconds" }
      )
      assert.strictEqual((yield* Ground.command(ground, "skip", "--id", "no-id")).code, 2)
      assert.strictEqual((yield* Ground.command(ground, "retry")).code, 2)
      yield* Queues.declare(ground.brokerUrl, command)
      const retried = yield* Ground.command(ground, "retry", "--id", dead?.id ?? "")
      assert.deepStrictEqual([retried.code, retried.stdout], [0, "to be tried again: 1"])
      yield* Ground.waitUntilPublished(ground)
      assert.deepStrictEqual(
        (yield* Ground.arrivals(ground, command)).map(({ body }) => body.n),
        [1, 2]
      )
      yield* Queues.remove(ground.brokerUrl, command)
      assert.strictEqual((yield* Ground.command(ground, "skip", "--id", dead?.id ?? "")).code, 1)
    })
  )

  it.live("removes what was published longer ago than it is to be kept, and nothing else", () =>
    Effect.gen(function* () {
      const ground = yield* onSharedServers
      yield* Ground.sql(
        ground,
        `INSERT INTO outbox_events (topic, payload, published_at)
         SELECT 'events', to_jsonb(days), now() - days * interval '1 day' FROM generate_series(1, 12) AS days`
      )
      yield* Ground.startRelay(ground, "node")
      yield* eventually(
        Effect.map(
          Ground.sql(ground, "SELECT max(payload::int) AS oldest, count(*)::int AS count FROM outbox_events"),
          ([row]) => assert.deepStrictEqual(row, { oldest: 6, count: 6 })
        ),
        { deadline: "60 seconds" }
      )
    })
  )

  it.live("goes on with others while one queue refuses, and is brought back by plain SQL", () =>
    Effect.gen(function* () {
      const ground = yield* onSharedServers
      const full = `${ground.exchange}.full`
      yield* Ground.keepAll(ground)
      yield* Ground.bindFullQueue(ground, full, "events.full")
      const relay = yield* Ground.startRelay(ground, "bun", { OUTBOX_MAX_ATTEMPTS: "2" })
      yield* Ground.sql(
        ground,
        `INSERT INTO outbox_events (topic, key, payload)
         SELECT CASE WHEN n = 50 THEN 'events.full' ELSE 'events.fine' END, 'key-' || n, jsonb_build_object('n', n)
         FROM generate_series(1, 100) n`
      )
      yield* relay.waitForLine(/outbox event is dead/)
      yield* eventually(
        Effect.map(
          Ground.sql(ground, "SELECT topic, attempts, last_error FROM outbox_events WHERE published_at IS NULL"),
          (rows) => {
            assert.deepStrictEqual(
              rows.map(({ attempts, topic }) => [topic, attempts]),
              [["events.full", 2]]
            )
            assert.include(String(rows[0]?.last_error), "nack")
          }
        ),
        { deadline: "20 seconds" }
      )
      assert.strictEqual(Lines.count(relay, "is away"), 0)
      yield* Queues.remove(ground.brokerUrl, full)
      yield* Ground.sql(ground, "UPDATE outbox_events SET attempts = 0 WHERE published_at IS NULL")
      yield* Ground.waitUntilPublished(ground)
    })
  )
})

describe("on the embedded services", () => {
  it.live("relays that are killed lose nothing", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder("outbox")
      const server = yield* EmbeddedPostgres.start({ dataDirectory: folder })
      const relay = (runtime: Runtime) =>
        Program.start({
          runtime,
          args: ["--mode=outbox"],
          env: {
            BROKER: "embedded",
            DATABASE: "embedded",
            PAYSTREAM_DATA: folder,
            HEALTH_PORT: "0",
            OUTBOX_BATCH_SIZE: "20",
            OUTBOX_LEASE_SECONDS: "2"
          }
        })
      const first = yield* relay("node")
      yield* first.waitForLine(/connected to PostgreSQL/, { deadline: "60 seconds" })
      const count = (statement: string) =>
        Effect.map(
          query<{ count: number }>(server.url, `SELECT count(*)::int AS count ${statement}`),
          ([row]) => row?.count ?? 0
        )
      yield* query(
        server.url,
        `INSERT INTO outbox_events (topic, key, payload)
         SELECT 'events', 'key-' || (n % 10), jsonb_build_object('n', n) FROM generate_series(1, 1000) n`
      )
      const published = "FROM outbox_events WHERE published_at IS NOT NULL"
      const atLeast = (least: number) =>
        eventually(
          Effect.map(count(published), (found) => assert.isAtLeast(found, least)),
          { deadline: "60 seconds", every: "5 millis" }
        )
      yield* atLeast(50)
      yield* first.kill("SIGKILL")
      assert.isBelow(yield* count(published), 1000)
      const second = yield* relay("bun")
      yield* atLeast(1000)
      const kept =
        "FROM (SELECT DISTINCT data->>'id' FROM paystream_broker.job WHERE name = 'paystream.unrouted') AS kept"
      assert.strictEqual(yield* count(kept), 1000)
      yield* second.kill("SIGTERM")
      assert.strictEqual(yield* second.exit, 0, second.stderr.join("\n"))
    }).pipe(Effect.scoped)
  )
})
