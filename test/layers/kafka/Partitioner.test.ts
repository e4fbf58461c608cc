import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { type Message, Partitioners } from "kafkajs"
import * as Partitioner from "../../../src/layers/kafka/Partitioner.ts"

const partitions = (count: number) =>
  Array.from({ length: count }, (_, partitionId) => ({
    partitionId,
    partitionErrorCode: 0,
    leader: 1,
    replicas: [1],
    isr: [1]
  }))

const args = (message: Message, count: number) => ({ topic: "t", message, partitionMetadata: partitions(count) })

describe("The partition of a record", () => {
  it.prop(
    "is that which kafkajs, and Java's client, find for the key",
    {
      key: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))),
      count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 }))
    },
    ({ count, key }) => {
      const message = () => ({ key: Buffer.from(key), value: null })
      assert.strictEqual(
        Partitioner.make()(args(message(), count)),
        Partitioners.DefaultPartitioner()(args(message(), count))
      )
    },
    { arbitrary: { runs: 500, size: 40 } }
  )

  it("is one after the other without a key, and the same for the same record", () => {
    const choose = Partitioner.make()
    const records = Array.from({ length: 4 }, () => ({ key: null, value: null }))
    const chosen = records.map((record) => choose(args(record, 4)))
    assert.sameMembers(chosen, [0, 1, 2, 3])
    assert.deepStrictEqual(
      records.map((record) => choose(args(record, 4))),
      chosen
    )
  })
})
