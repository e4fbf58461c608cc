import { assert, layer as withLayer } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { Broker } from "../../src/domain/ports/Broker.ts"
import * as EmbeddedBroker from "../../src/layers/embedded/EmbeddedBroker.ts"
import * as MemoryBroker from "../../src/layers/memory/MemoryBroker.ts"
import { newDatabase } from "../support/Databases.ts"
import { rabbitMq } from "../support/Services.ts"
import { eventually } from "../support/servers/eventually.ts"
import { suite } from "./BrokerContract.ts"

const soon = { deadline: "30 seconds", every: "5 millis" } as const

const embedded = Layer.unwrap(Effect.map(newDatabase, (url) => EmbeddedBroker.layerOn({ url })))

suite("memory", MemoryBroker.layer, { countsEveryAttempt: true, keepsOrder: true, timestampUnitMillis: 1 })
suite("RabbitMQ", rabbitMq(), { countsEveryAttempt: false, keepsOrder: true, timestampUnitMillis: 1000 })
suite("RabbitMQ, quorum queues", rabbitMq({ queueType: "quorum" }), {
  countsEveryAttempt: true,
  keepsOrder: true,
  timestampUnitMillis: 1000
})
suite("embedded", embedded, { countsEveryAttempt: true, keepsOrder: false, timestampUnitMillis: 1 })

withLayer(embedded, { excludeTestServices: true })("The embedded broker", (it) => {
  it.effect("forgets dead letters that have waited long enough, so many at a time, and nothing else", () =>
    Effect.gen(function* () {
      const { depth, ensureQueue, forgetDeadLetters, publish } = yield* Broker
      const forget = forgetDeadLetters ?? (() => Effect.die("the embedded broker keeps dead letters for ever"))
      const queues = ["forgotten", "forgotten.dlq", "others.dlq"] as const
      yield* Effect.forEach(queues, ensureQueue)
      const message = { id: undefined, body: new Uint8Array([1]), headers: {}, contentType: undefined }
      const letters = queues.flatMap((queue) => [1, 2].map(() => ({ ...message, queue, publishedAtMillis: undefined })))
      yield* publish(letters)
      assert.strictEqual(yield* forget(Duration.hours(1), 1000), 0)
      const counts: Array<number> = []
      yield* eventually(
        Effect.gen(function* () {
          counts.push(yield* forget(Duration.zero, 3))
          assert.deepStrictEqual(yield* Effect.forEach(queues, depth), [2, 0, 0])
        }),
        soon
      )
      assert.deepStrictEqual(
        counts.filter((count) => count > 0),
        [3, 1]
      )
    })
  )
})
