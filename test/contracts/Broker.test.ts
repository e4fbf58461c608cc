import { Effect, Layer } from "effect"
import * as EmbeddedBroker from "../../src/layers/embedded/EmbeddedBroker.ts"
import * as MemoryBroker from "../../src/layers/memory/MemoryBroker.ts"
import { newDatabase } from "../support/Databases.ts"
import { rabbitMq } from "../support/Services.ts"
import { suite } from "./BrokerContract.ts"

const embedded = Layer.unwrap(Effect.map(newDatabase, (url) => EmbeddedBroker.layerOn({ url })))

suite("memory", MemoryBroker.layer, { countsEveryAttempt: true, keepsOrder: true, timestampUnitMillis: 1 })
suite("RabbitMQ", rabbitMq(), { countsEveryAttempt: false, keepsOrder: true, timestampUnitMillis: 1000 })
suite("RabbitMQ, quorum queues", rabbitMq({ queueType: "quorum" }), {
  countsEveryAttempt: true,
  keepsOrder: true,
  timestampUnitMillis: 1000
})
suite("embedded", embedded, { countsEveryAttempt: true, keepsOrder: false, timestampUnitMillis: 1 })
