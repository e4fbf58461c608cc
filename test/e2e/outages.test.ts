import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { inject } from "vitest"
import { behind } from "../support/Behind.ts"
import { newDatabase } from "../support/Databases.ts"
import * as DeliveryTap from "../support/DeliveryTap.ts"
import * as HealthPages from "../support/HealthPages.ts"
import * as Lines from "../support/Lines.ts"
import * as Queues from "../support/Queues.ts"
import * as Stage from "../support/Stage.ts"
import * as SteadyPublisher from "../support/SteadyPublisher.ts"
import { eventually, realSleep } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"
import * as Postgres from "../support/servers/Postgres.ts"
import type * as Program from "../support/servers/Program.ts"
import * as RabbitMq from "../support/servers/RabbitMq.ts"
import * as TableLock from "../support/TableLock.ts"

const postgresAway = "PostgreSQL is away"
const postgresBack = "connected to PostgreSQL"
const brokerAway = "RabbitMQ is away"
const brokerBack = "connected to RabbitMQ"
const subscribingAgain = "subscribing again"

const waitForDeadLetters = (stage: Stage.Stage, count: number) =>
  eventually(
    Effect.map(Queues.depth(stage.brokerUrl, stage.deadLetters), (found) => assert.isAtLeast(found, count)),
    { deadline: "20 seconds", every: "50 millis" }
  )

const waitForDepth = (stage: Stage.Stage, depth: number) =>
  eventually(
    Effect.map(Stage.depth(stage), (found) => assert.strictEqual(found, depth)),
    { deadline: "20 seconds", every: "50 millis" }
  )

describe.concurrent("a worker whose services go away", () => {
  it.live("goes on after the network to the database breaks, and after it swallows everything", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      const { proxy, url } = yield* behind(stage.databaseUrl)
      const worker = yield* Stage.start(stage, { runtime: "node", env: { DATABASE_URL: url } })
      let stored = 0
      for (const fault of [proxy.cut, proxy.freeze]) {
        const away = Lines.count(worker, postgresAway)
        yield* Stage.publish(stage, Stage.payments(10, `before-${stored}`))
        yield* Stage.waitForRows(stage, stored + 10)
        yield* fault
        yield* Stage.publish(stage, Stage.payments(10, `meanwhile-${stored}`))
        yield* Lines.waitFor(worker, postgresAway, away + 1)
        yield* proxy.heal
        yield* Stage.waitForRows(stage, stored + 20)
        yield* Lines.waitFor(worker, postgresBack, away + 2)
        stored += 20
      }
      yield* worker.kill("SIGTERM")
      assert.strictEqual(yield* worker.exit, 0)
      assert.strictEqual((yield* Stage.rows(stage)).length, 40)
      assert.strictEqual(yield* Stage.depth(stage), 0)
      assert.strictEqual(Lines.count(worker, postgresAway), 2)
      assert.strictEqual(Lines.count(worker, postgresBack), 3)
    })
  )

  it.live("pauses while PostgreSQL is stopped for 10 s, and goes on by itself with few redeliveries", () =>
    Effect.gen(function* () {
      const postgres = yield* Postgres.startOwn
      const stage = yield* Stage.on({
        brokerUrl: inject("rabbitmqUrl"),
        databaseUrl: yield* postgres.createDatabase("payments")
      })
      const publisher = yield* SteadyPublisher.start(stage)
      const tap = yield* DeliveryTap.start(stage.brokerUrl)
      const port = yield* freePort
      const [batch, inFlight] = [50, 2]
      const worker = yield* Stage.start(stage, {
        runtime: "bun",
        env: {
          RABBITMQ_URL: tap.url,
          HEALTH_PORT: `${port}`,
          BATCH_SIZE: `${batch}`,
          BATCHES_IN_FLIGHT: `${inFlight}`
        }
      })
      yield* Stage.waitForRows(stage, 500)
      yield* postgres.stop
      yield* worker.waitForLine(/PostgreSQL is away/)
      yield* HealthPages.waitForStatus(port, "/readyz", 503)
      assert.strictEqual((yield* HealthPages.page(port, "/healthz")).status, 200)
      const before = tap.deliveries()
      // the outage itself, as long as the promise is about
      yield* realSleep("10 seconds")
      assert.strictEqual(worker.stdout.filter((line) => line.includes(postgresAway)).length, 1)
      const prefetch = batch * (inFlight + 1)
      assert.isAtMost(tap.deliveries() - before, prefetch, "deliveries while away")
      yield* postgres.start
      yield* HealthPages.waitForStatus(port, "/readyz", 200)
      yield* publisher.stop
      yield* eventually(
        Effect.map(Stage.rows(stage), ({ length }) => assert.isAtLeast(length, publisher.valid.size)),
        { deadline: "30 seconds", every: "100 millis" }
      )
      yield* waitForDepth(stage, 0)
      yield* worker.kill("SIGTERM")
      assert.strictEqual(yield* worker.exit, 0)
      assert.isAtMost(tap.redeliveries(), 2 * prefetch)
      const stored = (yield* Stage.rows(stage)).map((row) => row.message_id ?? "")
      assert.deepStrictEqual(stored.sort(), [...publisher.valid].sort())
      const setAside = (yield* Stage.takeDeadLetters(stage)).map(Queues.idOf)
      assert.deepStrictEqual(setAside.sort(), [...publisher.invalid].sort())
      assert.strictEqual(Lines.count(worker, postgresBack), 2)
    })
  )

  it.live("waits for RabbitMQ at its start and later, and says so once per change", () =>
    Effect.gen(function* () {
      const rabbitMq = yield* RabbitMq.startOwn
      const databaseUrl = Redacted.value(yield* newDatabase)
      const stage = yield* Stage.on({ brokerUrl: rabbitMq.url, databaseUrl })
      yield* Stage.publish(stage, Stage.payments(10, "first"))
      yield* rabbitMq.stop
      const port = yield* freePort
      const worker = yield* Stage.start(stage, { runtime: "node", env: { HEALTH_PORT: `${port}` } })
      yield* worker.waitForLine(/RabbitMQ is away/)
      yield* HealthPages.waitForStatus(port, "/readyz", 503)
      yield* rabbitMq.start
      yield* Stage.waitForRows(stage, 10)
      yield* HealthPages.waitForStatus(port, "/readyz", 200)
      yield* rabbitMq.kill
      yield* HealthPages.waitForStatus(port, "/readyz", 503)
      assert.strictEqual((yield* HealthPages.page(port, "/healthz")).status, 200)
      yield* rabbitMq.start
      yield* Stage.publish(stage, Stage.payments(10, "second"))
      yield* Stage.waitForRows(stage, 20)
      yield* HealthPages.waitForStatus(port, "/readyz", 200)
      assert.strictEqual(Lines.count(worker, brokerAway), 2)
      assert.strictEqual(Lines.count(worker, brokerBack), 2)
      const metrics = (yield* HealthPages.page(port, "/metrics")).text
      assert.match(metrics, /^paystream_reconnects_total\{service="RabbitMQ"\} 2$/m)
      assert.match(metrics, /^paystream_restarts_total\{stream="[^"]+"\} [1-9]\d*$/m)
      yield* worker.kill("SIGTERM")
      assert.strictEqual(yield* worker.exit, 0)
    })
  )

  it.live("keeps dead letters waiting while the broker blocks publishers, and doubles none", () =>
    Effect.gen(function* () {
      const rabbitMq = yield* RabbitMq.startOwn
      const databaseUrl = Redacted.value(yield* newDatabase)
      const stage = yield* Stage.on({ brokerUrl: rabbitMq.url, databaseUrl })
      const port = yield* freePort
      const worker = yield* Stage.start(stage, { runtime: "bun", env: { HEALTH_PORT: `${port}` } })
      const invalid = Array.from({ length: 20 }, (_, n) => ({ id: `invalid-${n}`, body: "{" }))
      yield* Stage.publish(stage, [...invalid.slice(0, 10), ...Stage.payments(10)])
      yield* Stage.waitForRows(stage, 10)
      yield* waitForDeadLetters(stage, 10)
      const lock = yield* TableLock.hold(stage.databaseUrl, "payments")
      yield* Stage.publish(stage, [...invalid.slice(10), ...Stage.payments(10, "held")])
      yield* lock.isWaitedFor
      yield* rabbitMq.ctl("set_vm_memory_high_watermark", "0.0001")
      yield* lock.release
      yield* HealthPages.waitForStatus(port, "/readyz", 503)
      yield* Lines.waitFor(worker, "blocked by the broker", 1)
      // longer than a publisher waits for its confirms without an alarm
      yield* realSleep("31 seconds")
      yield* rabbitMq.ctl("set_vm_memory_high_watermark", "0.8")
      yield* HealthPages.waitForStatus(port, "/readyz", 200)
      yield* waitForDeadLetters(stage, 20)
      yield* worker.kill("SIGTERM")
      assert.strictEqual(yield* worker.exit, 0)
      const ids = (yield* Stage.takeDeadLetters(stage)).map(Queues.idOf)
      assert.deepStrictEqual(ids.sort(), invalid.map(({ id }) => id).sort())
      assert.strictEqual(yield* Stage.depth(stage), 0)
    })
  )

  for (const runtime of Stage.runtimes) {
    it.live(`goes on after the network to the broker breaks, and after it swallows everything (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const { proxy, url } = yield* behind(`${stage.brokerUrl}?heartbeat=2`)
        const worker = yield* Stage.start(stage, { runtime, env: { RABBITMQ_URL: url } })
        let stored = 0
        for (const fault of [proxy.cut, proxy.freeze]) {
          const away = Lines.count(worker, brokerAway)
          yield* Stage.publish(stage, Stage.payments(10, `before-${stored}`))
          yield* Stage.waitForRows(stage, stored + 10)
          yield* fault
          yield* Stage.publish(stage, Stage.payments(10, `meanwhile-${stored}`))
          yield* Lines.waitFor(worker, brokerAway, away + 1)
          yield* proxy.heal
          yield* Stage.waitForRows(stage, stored + 20)
          stored += 20
        }
        yield* worker.kill("SIGTERM")
        assert.strictEqual(yield* worker.exit, 0)
        assert.strictEqual((yield* Stage.rows(stage)).length, 40)
        assert.strictEqual(Lines.count(worker, brokerAway), 2)
        assert.strictEqual(Lines.count(worker, brokerBack), 3)
      })
    )
  }

  for (const runtime of Stage.runtimes) {
    it.live(`consumes again after its queue was deleted and made anew (${runtime})`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const worker = yield* Stage.start(stage, { runtime })
        yield* Stage.publish(stage, Stage.payments(10, "first"))
        yield* Stage.waitForRows(stage, 10)
        yield* Queues.remove(stage.brokerUrl, stage.queue)
        yield* Queues.declare(stage.brokerUrl, stage.queue)
        yield* Stage.publish(stage, Stage.payments(10, "second"))
        yield* Stage.waitForRows(stage, 20)
        yield* worker.kill("SIGTERM")
        assert.strictEqual(yield* worker.exit, 0)
        assert.strictEqual(Lines.count(worker, subscribingAgain), 1)
        assert.strictEqual(Lines.count(worker, brokerAway), 0)
      })
    )
  }

  it.live("consumes again after the broker took its channel, tired of waiting for acknowledgements", () =>
    Effect.gen(function* () {
      const rabbitMq = yield* RabbitMq.startOwn
      // of every channel that is opened from now on; a busy machine may take seconds to acknowledge what is done
      const patience = "[application:set_env(rabbit, consumer_timeout, 10000)"
      yield* rabbitMq.ctl("eval", `${patience}, application:set_env(rabbit, channel_tick_interval, 500)].`)
      yield* Effect.forEach(Stage.runtimes, (runtime) => loseChannel(runtime, rabbitMq.url), { concurrency: 2 })
    })
  )
})

/** A worker whose batch takes longer than the broker waits for. */
const loseChannel = Effect.fnUntraced(function* (runtime: Program.Runtime, brokerUrl: string) {
  const stage = yield* Stage.on({ brokerUrl, databaseUrl: Redacted.value(yield* newDatabase) })
  const tap = yield* DeliveryTap.start(brokerUrl)
  const worker = yield* Stage.start(stage, { runtime, env: { RABBITMQ_URL: tap.url } })
  yield* Stage.publish(stage, Stage.payments(10, "before"))
  yield* Stage.waitForRows(stage, 10)
  const lock = yield* TableLock.hold(stage.databaseUrl, "payments")
  const held = [...Stage.payments(10, "held"), ...Array(10).fill({ body: '"without an id"' })]
  yield* Stage.publish(stage, held)
  yield* worker.waitForLine(/406 .* timed out.*subscribing again/)
  yield* eventually(
    Effect.sync(() => assert.isAtLeast(tap.redeliveries(), held.length)),
    { deadline: "20 seconds" }
  )
  yield* lock.release
  yield* Stage.waitForRows(stage, 10 + held.length)
  yield* worker.kill("SIGTERM")
  assert.strictEqual(yield* worker.exit, 0)
  const ids = (yield* Stage.rows(stage)).map((row) => row.message_id)
  assert.strictEqual(ids.length, 10 + held.length)
  assert.strictEqual(new Set(ids).size, 20 + 1)
  assert.strictEqual(yield* Stage.depth(stage), 0)
  assert.strictEqual(Lines.count(worker, subscribingAgain), 1)
  for (const other of [brokerAway, postgresAway]) assert.strictEqual(Lines.count(worker, other), 0)
})
