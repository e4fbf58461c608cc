import { createRequire } from "node:module"
import { assert, describe, it } from "@effect/vitest"
import * as Internals from "../../../src/layers/kafka/Internals.ts"

const require = createRequire(import.meta.url)
const { dependencies } = require("../../../package.json")
const groupMessagesPerPartition = require("kafkajs/src/producer/groupMessagesPerPartition")

describe("What is changed inside of kafkajs", () => {
  it("is known of the version that the package asks for, and of no other", () => {
    assert.strictEqual(dependencies.kafkajs, Internals.knownVersion)
    assert.doesNotThrow(Internals.change)
  })

  it("groups messages by partition as kafkajs does", () => {
    const messages = Array.from({ length: 1_000 }, (_, index) => ({ value: null, partition: (index * 7) % 12 }))
    const group = (messages: ReadonlyArray<{ readonly partition: number }>) =>
      groupMessagesPerPartition({
        topic: "t",
        partitionMetadata: [{}],
        messages,
        partitioner: ({ message }: { readonly message: { readonly partition: number } }) => message.partition
      })
    assert.deepStrictEqual(group(Internals.groupedInOneGo([...messages]) as typeof messages), group(messages))
  })
})
