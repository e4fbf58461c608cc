import { createRequire } from "node:module"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { Message } from "kafkajs"
import { encode, isPlain, type Produce } from "../../../src/layers/kafka/ProduceRequest.ts"

const require = createRequire(import.meta.url)
const { protocol } = require("kafkajs/src/protocol/requests/produce")
const checksum: (bytes: Buffer) => number = require("kafkajs/src/protocol/recordBatch/crc32C")

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Around where one more byte is needed for a length, and where room has to grow. */
const Length = Schema.Union([int(0, 70), int(120, 135), int(8_100, 8_200)])
const Text = Schema.Union([Schema.String, Schema.Literals(["", "é", "𝄞 and more", "\u{D800}", "x".repeat(200)])])
const Value = Schema.Union([Schema.Null, Length])
/** The deltas that they give are positive and negative, of one byte to more than 32 bits. */
const Millis = Schema.Union([int(1_700_000_000_000, 1_700_000_000_200), int(0, 9_999_999_999_999)])

const RecordSchema = Schema.Struct({
  key: Schema.NullOr(Text),
  value: Value,
  millis: Millis,
  headers: Schema.Record(Text, Schema.Union([Text, Length, Schema.Array(Text)]))
})

const Records = Schema.Array(RecordSchema).check(Schema.isMinLength(1))

const bytes = (length: number): Buffer => Buffer.alloc(length, "é")

const headerOf = (value: string | number | ReadonlyArray<string>) =>
  typeof value === "number" ? bytes(value) : typeof value === "string" ? value : [...value]

const toMessage = ({ headers, key, millis, value }: typeof RecordSchema.Type): Message => ({
  key: key === null ? null : Buffer.from(key),
  value: value === null ? null : bytes(value),
  timestamp: String(millis),
  headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, headerOf(value)]))
})

const theirs = async (produce: Produce, version: number): Promise<Buffer> => {
  const { buffer } = await protocol({ version })(produce).request.encode()
  return Buffer.from(buffer)
}

const idempotent = { acks: -1, timeout: 30_000, producerId: "4711", producerEpoch: 3 }

describe("A request that publishes", () => {
  it.effect.prop(
    "is byte for byte that of kafkajs",
    {
      first: Records,
      second: Records,
      transactionalId: Schema.NullOr(Text),
      producerId: Schema.Literals(["-1", "0", "9223372036854775807"]),
      producerEpoch: int(-1, 32_767),
      firstSequence: int(0, 2_147_483_647),
      version: int(3, 7)
    },
    ({ first, firstSequence, producerEpoch, producerId, second, transactionalId, version }) =>
      Effect.promise(async () => {
        const partitions = [first, second].map((records, partition) => ({
          partition,
          firstSequence,
          messages: records.map(toMessage)
        }))
        const topicData = ["t", "é"].map((topic) => ({ topic, partitions }))
        const produce = { ...idempotent, producerId, producerEpoch, transactionalId, topicData }
        assert.isTrue(isPlain(produce))
        assert.isTrue(encode(produce, checksum).equals(await theirs(produce, version)))
      }),
    { arbitrary: { runs: 200, size: 6 } }
  )

  it("is that of kafkajs for thousands of records of many headers", async () => {
    const headers = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`header-${index}`, `value ${index}`]))
    const messages = Array.from({ length: 2_000 }, (_, index) => ({
      key: `key-${index}`,
      value: `value ${index}`,
      timestamp: String(1_800_000_000_000 - index),
      headers
    }))
    const produce = { ...idempotent, topicData: [{ topic: "t", partitions: [{ partition: 0, messages }] }] }
    assert.isTrue(encode(produce, checksum).equals(await theirs(produce, 7)))
  })

  it("is left to kafkajs where it is compressed, or a record has no time", () => {
    const produceOf = (message: Message, compression = 0): Produce => ({
      ...idempotent,
      compression,
      topicData: [{ topic: "t", partitions: [{ partition: 0, messages: [message] }] }]
    })
    assert.isTrue(isPlain(produceOf({ value: null, timestamp: "0" })))
    assert.isFalse(isPlain(produceOf({ value: null })))
    assert.isFalse(isPlain(produceOf({ value: null, timestamp: "0" }, 1)))
  })
})
