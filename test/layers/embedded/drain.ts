/** A process that starts the embedded PostgreSQL and broker, publishes so many messages, takes and settles them. */
import { Effect, Layer, Stream } from "effect"
import { Broker } from "../../../src/domain/ports/Broker.ts"
import * as EmbeddedBroker from "../../../src/layers/embedded/EmbeddedBroker.ts"
import * as EmbeddedPostgres from "../../../src/layers/embedded/EmbeddedPostgres.ts"

const [dataDirectory = "", count = "1000"] = process.argv.slice(2)
const queue = "drain"

const program = Effect.gen(function* () {
  const broker = yield* Broker
  yield* broker.ensureQueue(queue)
  const rest = { body: new Uint8Array(200), headers: {}, contentType: undefined, publishedAtMillis: undefined }
  yield* broker.publish(Array.from({ length: Number(count) }, (_, index) => ({ queue, id: `${index}`, ...rest })))
  const ids = new Set<string | undefined>()
  yield* broker.deliveries({ _tag: "Queue", name: queue }, { prefetch: 500 }).pipe(
    Stream.take(Number(count)),
    Stream.groupedWithin(100, "5 millis"),
    Stream.runForEach((batch) => {
      for (const { id } of batch) ids.add(id)
      return broker.settle(batch.map((delivery) => ({ delivery, outcome: "done" })))
    })
  )
  console.log(`drained ${ids.size}, left ${yield* broker.depth(queue)}`)
})

await program.pipe(
  Effect.provide(EmbeddedBroker.layer.pipe(Layer.provide(EmbeddedPostgres.layer({ dataDirectory })))),
  Effect.runPromise
)
