/** What a consumer of the embedded broker takes: no more than it may, nothing that another has, and as long as its queue is there. */
import { assert, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Stream } from "effect"
import { Broker, type Delivery } from "../../../src/domain/ports/Broker.ts"
import * as EmbeddedBroker from "../../../src/layers/embedded/EmbeddedBroker.ts"
import * as EmbeddedPostgres from "../../../src/layers/embedded/EmbeddedPostgres.ts"
import {
  collect,
  freshQueue,
  numbered,
  rowsOf,
  servers,
  sql,
  takeOne,
  untilLength
} from "../../support/EmbeddedStage.ts"
import { message } from "../../support/Messages.ts"
import { consuming } from "../../support/QueueSteps.ts"
import { eventually } from "../../support/servers/eventually.ts"

layer(servers, { excludeTestServices: true, timeout: "60 seconds" })("A consumer of the embedded broker", (it) => {
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
        { deadline: "30 seconds" }
      )
      yield* Fiber.interruptAll(fibers)
      assert.strictEqual(seen.length, count)
      assert.strictEqual(new Set(seen).size, count)
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
})
