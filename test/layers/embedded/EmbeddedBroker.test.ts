/** Messages of the embedded broker: as they were published, and how each ends. */
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Broker, type Delivery } from "../../../src/domain/ports/Broker.ts"
import {
  collect,
  dataFolder,
  freshQueue,
  rowsOf,
  servers,
  settle,
  sql,
  takeOne,
  untilLength
} from "../../support/EmbeddedStage.ts"
import { message } from "../../support/Messages.ts"
import * as Program from "../../support/servers/Program.ts"

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

  for (const runtime of ["bun", "node"] as const) {
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
