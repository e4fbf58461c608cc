import { join } from "node:path"
import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Redacted, type Scope, Stream } from "effect"
import { Broker, type Delivery, type Outcome } from "../../../src/domain/ports/Broker.ts"
import * as EmbeddedBroker from "../../../src/layers/embedded/EmbeddedBroker.ts"
import * as EmbeddedPostgres from "../../../src/layers/embedded/EmbeddedPostgres.ts"
import { dataFolder } from "../../support/dataFolder.ts"
import { message } from "../../support/Messages.ts"
import { consuming } from "../../support/QueueSteps.ts"
import { eventually } from "../../support/servers/eventually.ts"
import * as Program from "../../support/servers/Program.ts"

const postgres = Layer.unwrap(Effect.map(dataFolder, (dataDirectory) => EmbeddedPostgres.layer({ dataDirectory })))

const servers = EmbeddedBroker.layer.pipe(Layer.provideMerge(postgres))

let queues = 0
const freshQueue = Effect.gen(function* () {
  const queue = `queue-${++queues}`
  yield* (yield* Broker).ensureQueue(queue)
  return queue
})

const numbered = (queue: string, count: number) =>
  Array.from({ length: count }, (_, index) => message(queue, { id: `${index}` }))

const settle = (delivery: Delivery, outcome: Outcome) => Broker.use((broker) => broker.settle([{ delivery, outcome }]))

/** What arrives while the scope is open: the list grows by itself. */
const collect = (queue: string, prefetch: number): Effect.Effect<Array<Delivery>, never, Broker | Scope.Scope> =>
  Effect.gen(function* () {
    const arrived: Array<Delivery> = []
    const fill = Stream.runForEach(consuming(queue, prefetch), (delivery) => Effect.sync(() => arrived.push(delivery)))
    yield* Effect.forkScoped(Effect.orDie(fill))
    return arrived
  })

const untilLength = (arrived: ReadonlyArray<unknown>, length: number) =>
  eventually(
    Effect.sync(() => assert.strictEqual(arrived.length, length)),
    { deadline: "20 seconds" }
  )

const untilAtLeast = (arrived: ReadonlyArray<unknown>, length: number) =>
  eventually(
    Effect.sync(() => assert.isAtLeast(arrived.length, length)),
    { deadline: "10 seconds", every: "1 millis" }
  )

const takeOne = (queue: string) =>
  Effect.gen(function* () {
    const arrived = yield* collect(queue, 1)
    yield* untilLength(arrived, 1)
    return arrived[0] as Delivery
  })

const sql = (statement: string) =>
  Effect.gen(function* () {
    const { url } = yield* EmbeddedPostgres.EmbeddedPostgres
    const ask = PgClient.PgClient.use((client) => client.unsafe<Record<string, unknown>>(statement))
    return yield* ask.pipe(Effect.provide(PgClient.layer({ url })))
  })

const rowsOf = (queue: string) => sql(`SELECT state::text FROM paystream_broker.job WHERE name = '${queue}'`)

layer(servers, { excludeTestServices: true, timeout: "60 seconds" })("EmbeddedBroker", (it) => {
  it.effect("delivers a message as it was published", () =>
    Effect.gen(function* () {
      const queue = yield* freshQueue
      const sent = message(queue, {
        id: "payment \u0000 1 \ud800",
        body: Uint8Array.from({ length: 256 }, (_, byte) => byte),
        headers: {
          text: "ä\u0000",
          count: 3,
          big: 2n ** 70n,
          bytes: Buffer.from([0, 255]),
          nested: { list: [1n, null] }
        },
        contentType: "application/json",
        publishedAtMillis: 1_700_000_000_123
      })
      yield* (yield* Broker).publish([sent])
      const { attempt, body, receipt, ...received } = yield* takeOne(queue)
      const { queue: _, body: sentBody, ...expected } = sent
      assert.deepStrictEqual(received, expected)
      assert.deepStrictEqual([...body], [...sentBody])
      assert.strictEqual(attempt, 1)
    })
  )

  it.effect("says nothing of an id that is empty", () =>
    Effect.gen(function* () {
      const queue = yield* freshQueue
      yield* (yield* Broker).publish([message(queue, { id: "", body: new Uint8Array(0) })])
      const received = yield* takeOne(queue)
      assert.isUndefined(received.id)
      assert.strictEqual(received.body.length, 0)
    })
  )

  it.effect("refuses a message for a queue that is not there, or is there no longer", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      const queue = yield* freshQueue
      yield* broker.publish([message(queue)])
      yield* sql(`SELECT paystream_broker.delete_queue('${queue}')`)
      for (const missing of ["never-made", queue]) {
        const error = yield* Effect.flip(broker.publish([message(missing)]))
        assert.strictEqual(error.reason._tag, "Unroutable")
        assert.strictEqual((yield* Effect.flip(broker.depth(missing))).reason._tag, "Unroutable")
      }
    })
  )

  it.effect("refuses a name that no queue can have, for good", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip((yield* Broker).ensureQueue("pay ments"))
      assert.strictEqual(error.reason._tag, "BrokerRefused")
    })
  )

  it.effect("keeps no row of what is done", () =>
    Effect.gen(function* () {
      const queue = yield* freshQueue
      yield* (yield* Broker).publish([message(queue)])
      yield* settle(yield* takeOne(queue), "done")
      assert.deepStrictEqual(yield* rowsOf(queue), [])
    })
  )

  it.effect("delivers what is returned at once, as another attempt, and without end", () =>
    Effect.gen(function* () {
      const queue = yield* freshQueue
      yield* (yield* Broker).publish([message(queue)])
      const arrived = yield* collect(queue, 1)
      for (let attempt = 1; attempt <= 30; attempt++) {
        yield* untilLength(arrived, attempt)
        const delivery = arrived[attempt - 1] as Delivery
        assert.strictEqual(delivery.attempt, attempt)
        yield* settle(delivery, "return")
      }
    })
  )

  it.effect("never delivers what is rejected, and keeps its row to be looked at", () =>
    Effect.gen(function* () {
      const queue = yield* freshQueue
      yield* (yield* Broker).publish([message(queue, { id: "bad" }), message(queue, { id: "good" })])
      const arrived = yield* collect(queue, 1)
      yield* untilLength(arrived, 1)
      yield* settle(arrived[0] as Delivery, "reject")
      yield* untilLength(arrived, 2)
      yield* settle(arrived[1] as Delivery, "done")
      assert.deepStrictEqual(yield* rowsOf(queue), [{ state: "cancelled" }])
      assert.strictEqual(yield* (yield* Broker).depth(queue), 0)
    })
  )

  it.effect("keeps to the prefetch, and counts what waits beyond it", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      const queue = yield* freshQueue
      yield* broker.publish(numbered(queue, 100))
      const arrived = yield* collect(queue, 10)
      yield* untilLength(arrived, 10)
      assert.strictEqual(yield* broker.depth(queue), 90)
      yield* broker.settle(arrived.slice(0, 4).map((delivery) => ({ delivery, outcome: "done" })))
      yield* untilLength(arrived, 14)
      assert.strictEqual(yield* broker.depth(queue), 86)
    })
  )

  it.effect("keeps to the limit of bytes", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedPostgres.EmbeddedPostgres
      const queue = yield* freshQueue
      yield* (yield* Broker).publish(numbered(queue, 20).map((small) => ({ ...small, body: new Uint8Array(1000) })))
      const narrow = yield* Layer.build(EmbeddedBroker.layerOn({ url, maxBytesInFlight: 5500 }))
      const arrived = yield* Effect.provide(collect(queue, 100), narrow)
      yield* untilLength(arrived, 5)
      assert.strictEqual(yield* (yield* Broker).depth(queue), 15)
    })
  )

  it.effect("gives back what is not settled when the stream closes", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      const queue = yield* freshQueue
      yield* broker.publish(numbered(queue, 100))
      const late = yield* Effect.scoped(Effect.tap(collect(queue, 50), (arrived) => untilLength(arrived, 50)))
      assert.strictEqual(yield* broker.depth(queue), 100)
      // settled too late: it is the next consumer's by now
      yield* settle(late[0] as Delivery, "done")
      const arrived = yield* collect(queue, 100)
      yield* untilLength(arrived, 100)
      assert.strictEqual(arrived.filter(({ attempt }) => attempt === 2).length, 50)
    })
  )

  it.effect("gives back everything, at whatever moment the stream closes", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      const queue = yield* freshQueue
      yield* broker.publish(numbered(queue, 200))
      for (let round = 0; round < 40; round++) {
        yield* Effect.scoped(Effect.tap(collect(queue, 20 + round), (arrived) => untilAtLeast(arrived, round % 20)))
        assert.strictEqual(yield* broker.depth(queue), 200)
      }
    })
  )

  it.effect("ends a stream whose queue is deleted", () =>
    Effect.gen(function* () {
      const queue = yield* freshQueue
      yield* (yield* Broker).publish([message(queue)])
      const arrived: Array<Delivery> = []
      const fill = Stream.runForEach(consuming(queue, 1), (delivery) => Effect.sync(() => arrived.push(delivery)))
      const failure = yield* Effect.forkScoped(Effect.flip(fill))
      yield* untilLength(arrived, 1)
      yield* sql(`SELECT paystream_broker.delete_queue('${queue}')`)
      assert.strictEqual((yield* Fiber.join(failure)).reason._tag, "Unroutable")
      yield* (yield* Broker).ensureQueue(queue)
      yield* (yield* Broker).publish([message(queue)])
      assert.strictEqual((yield* takeOne(queue)).attempt, 1)
    })
  )

  it.effect("shares 10,000 messages among consumers, none of them twice", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      const queue = yield* freshQueue
      const count = 10_000
      const seen: Array<string | undefined> = []
      const all = yield* Deferred.make<void>()
      const consume = Stream.runForEachArray(consuming(queue, 300), (batch) => {
        for (const { id } of batch) seen.push(id)
        if (seen.length === count) Deferred.doneUnsafe(all, Effect.void)
        return broker.settle(batch.map((delivery) => ({ delivery, outcome: "done" })))
      })
      const fibers = yield* Effect.all(Array.from({ length: 4 }, () => Effect.forkScoped(consume)))
      yield* broker.publish(numbered(queue, count))
      yield* Deferred.await(all).pipe(Effect.timeout("20 seconds"))
      yield* eventually(
        Effect.map(rowsOf(queue), (rows) => assert.strictEqual(rows.length, 0)),
        { deadline: "10 seconds" }
      )
      yield* Fiber.interruptAll(fibers)
      assert.strictEqual(seen.length, count)
      assert.strictEqual(new Set(seen).size, count)
    })
  )

  it.effect("renews the claim on what a slow consumer holds", () =>
    Effect.gen(function* () {
      const queue = yield* freshQueue
      yield* (yield* Broker).publish([message(queue)])
      yield* takeOne(queue)
      const other = yield* collect(queue, 1)
      yield* sql(
        `UPDATE paystream_broker.job SET heartbeat_on = now() - interval '3500 milliseconds' WHERE name = '${queue}'`
      )
      const age = sql(
        `SELECT now() - heartbeat_on < interval '3 seconds' AS renewed FROM paystream_broker.job WHERE name = '${queue}'`
      )
      yield* eventually(
        Effect.map(age, (rows) => assert.deepStrictEqual(rows, [{ renewed: true }])),
        { deadline: "10 seconds" }
      )
      assert.strictEqual(other.length, 0)
    })
  )

  for (const runtime of ["bun", "node"] as const) {
    it.effect(`delivers again what a process on ${runtime} held when it was killed`, () =>
      Effect.gen(function* () {
        const { url } = yield* EmbeddedPostgres.EmbeddedPostgres
        const queue = yield* freshQueue
        yield* (yield* Broker).publish(numbered(queue, 20))
        const main = join(import.meta.dirname, "holdDeliveries.ts")
        const holder = yield* Program.start({ runtime, main, args: [Redacted.value(url), queue, "20"] })
        yield* holder.waitForLine(/^taken 20/)
        yield* holder.kill("SIGKILL")
        const arrived = yield* collect(queue, 20)
        yield* untilLength(arrived, 20)
        assert.deepStrictEqual(new Set(arrived.map(({ attempt }) => attempt)), new Set([2]))
      })
    )

    it.effect(`works on ${runtime}, with a PostgreSQL of its own`, () =>
      Effect.gen(function* () {
        const main = join(import.meta.dirname, "drain.ts")
        const program = yield* Program.start({ runtime, main, args: [yield* dataFolder, "2000"] })
        assert.strictEqual(yield* program.waitForLine(/^drained/), "drained 2000, left 0")
        assert.strictEqual(yield* program.exit, 0)
      })
    )
  }
})
