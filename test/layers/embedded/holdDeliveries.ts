/** A process that takes deliveries from a queue of the embedded broker, says how many, settles none, and stays. */
import { Effect, Redacted, Stream } from "effect"
import { Broker } from "../../../src/domain/ports/Broker.ts"
import * as EmbeddedBroker from "../../../src/layers/embedded/EmbeddedBroker.ts"

const [url = "", queue = "", prefetch = "1"] = process.argv.slice(2)
let taken = 0

await Broker.use((broker) =>
  broker
    .deliveries({ _tag: "Queue", name: queue }, { prefetch: Number(prefetch) })
    .pipe(Stream.runForEach(() => Effect.sync(() => console.log(`taken ${++taken}`))))
).pipe(Effect.provide(EmbeddedBroker.layerOn({ url: Redacted.make(url) })), Effect.runPromise)
