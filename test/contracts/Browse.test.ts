import { Effect, Layer } from "effect"
import * as EmbeddedBroker from "../../src/layers/embedded/EmbeddedBroker.ts"
import * as MemoryBroker from "../../src/layers/memory/MemoryBroker.ts"
import { newDatabase } from "../support/Databases.ts"
import { kafkaQueues } from "../support/KafkaQueues.ts"
import { rabbitMq } from "../support/Services.ts"
import { suite } from "./BrowseContract.ts"

const embedded = Layer.unwrap(Effect.map(newDatabase, (url) => EmbeddedBroker.layerOn({ url })))

suite("memory", MemoryBroker.layer, { keepsPlace: true })
suite("RabbitMQ", rabbitMq(), { keepsPlace: true })
suite("RabbitMQ, quorum queues", rabbitMq({ queueType: "quorum" }), { keepsPlace: false })
suite("embedded", embedded, { keepsPlace: true })
suite("Kafka", kafkaQueues, { keepsPlace: true, groupsHaveQueues: false })
