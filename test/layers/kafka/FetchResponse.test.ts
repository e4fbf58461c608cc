import { createRequire } from "node:module"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { decode } from "../../../src/layers/kafka/FetchResponse.ts"

const require = createRequire(import.meta.url)
const theirs = require("kafkajs/src/protocol/requests/fetch/v11/response")
const Encoder = require("kafkajs/src/protocol/encoder")
const { RecordBatch } = require("kafkajs/src/protocol/recordBatch/v0")
const toRecord = require("kafkajs/src/protocol/recordBatch/record/v0")

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Text = Schema.Union([Schema.String, Schema.Literals(["", "é", "𝄞 and more", "x".repeat(200)])])
const Bytes = Schema.NullOr(Schema.Array(int(0, 255)))
const Name = Schema.Union([Text, Schema.Literals(["message-id", "content-type", "constructor", "__proto__"])])

const RecordSchema = Schema.Struct({
  key: Bytes,
  value: Bytes,
  timestampDelta: Schema.Union([int(-100, 100), int(-(2 ** 45), 2 ** 45)]),
  offsetDelta: int(0, 2_147_483_647),
  headers: Schema.Array(Schema.Tuple([Name, Schema.Array(Text)]))
})

const BatchSchema = Schema.Struct({
  firstOffset: int(0, Number.MAX_SAFE_INTEGER - 2 ** 31),
  firstTimestamp: Schema.Union([Schema.Literal(-1), int(0, 2 ** 45)]),
  records: Schema.Array(RecordSchema),
  /** Time of the broker's log, transactional, control. */
  attributes: Schema.Literals([0, 0x08, 0x10, 0x20, 0x38])
})

const PartitionSchema = Schema.Struct({
  partition: int(0, 1_000),
  errorCode: Schema.Literals([0, 6]),
  highWatermark: int(-1, Number.MAX_SAFE_INTEGER),
  aborted: Schema.Array(int(0, 1_000)),
  batches: Schema.Array(BatchSchema),
  /** So many bytes are missing at the end. */
  cut: Schema.Union([Schema.Literal(0), int(0, 90)])
})

const bytesOf = (bytes: ReadonlyArray<number> | null) => (bytes === null ? null : Buffer.from(bytes))

const [magicAt, attributesAt, leastBatchBytes] = [16, 21, 49]

const batchBytes = async ({ attributes, records, ...batch }: typeof BatchSchema.Type): Promise<Buffer> => {
  const { buffer } = await RecordBatch({
    ...batch,
    maxTimestamp: batch.firstTimestamp,
    records: records.map(({ headers, key, value, ...record }) =>
      toRecord({ ...record, key: bytesOf(key), value: bytesOf(value), headers: Object.fromEntries(headers) })
    )
  })
  const bytes = Buffer.from(buffer)
  bytes.writeInt16BE(attributes, attributesAt)
  return bytes
}

const responseBytes = async (partitions: ReadonlyArray<typeof PartitionSchema.Type>): Promise<Buffer> => {
  const out = new Encoder().writeInt32(7).writeInt16(0).writeInt32(11).writeInt32(2)
  out.writeString("none").writeInt32(0).writeString("t").writeInt32(partitions.length)
  for (const { aborted, batches, cut, errorCode, highWatermark, partition } of partitions) {
    const records = Buffer.concat(await Promise.all(batches.map(batchBytes)))
    const size = records.length - cut
    out.writeInt32(partition).writeInt16(errorCode).writeInt64(highWatermark).writeInt64(highWatermark).writeInt64(0)
    out.writeInt32(aborted.length === 0 ? -1 : aborted.length)
    for (const offset of aborted) out.writeInt64(4711).writeInt64(offset)
    out.writeInt32(-1).writeBytes(records.subarray(0, size < leastBatchBytes ? 0 : size))
  }
  return Buffer.from(out.buffer)
}

const record = { key: null, value: [1], timestampDelta: 0, offsetDelta: 0, headers: [] }
const batch = { firstOffset: 1, firstTimestamp: 1, attributes: 0, records: [record] } as const
const partition = { partition: 0, errorCode: 0, highWatermark: 1, aborted: [], cut: 0 } as const

describe("The answer to a fetch", () => {
  it.effect.prop(
    "is read as kafkajs reads it, or left to it",
    { partitions: Schema.Array(PartitionSchema) },
    ({ partitions }) =>
      Effect.promise(async () => {
        const bytes = await responseBytes(partitions)
        const named = partitions.flatMap(({ batches }) => batches)
        const names = named.flatMap(({ records }) => records).flatMap(({ headers }) => headers.map(([name]) => name))
        const found = decode(bytes)
        if (found === undefined) assert.isTrue(names.some((name) => name in {}))
        else assert.deepStrictEqual<unknown>(found, await theirs.decode(bytes))
      }),
    { arbitrary: { runs: 200, size: 4 } }
  )

  it("is left to kafkajs where it is compressed, of an older kind, or has what is no header or no number here", async () => {
    const found = async (changed: Partial<typeof BatchSchema.Type>, change?: (batch: Buffer) => void) => {
      const bytes = await responseBytes([{ ...partition, batches: [{ ...batch, ...changed }] }])
      const begin = bytes.length - (await batchBytes({ ...batch, ...changed })).length
      change?.(bytes.subarray(begin))
      return decode(bytes)
    }
    assert.isDefined(await found({}))
    assert.isUndefined(await found({}, (batch) => batch.writeInt16BE(1, attributesAt)))
    assert.isUndefined(await found({}, (batch) => batch.writeInt8(1, magicAt)))
    assert.isUndefined(await found({ records: [{ ...record, headers: [["constructor", ["x"]]] }] }))
    assert.isUndefined(await found({ records: [{ ...record, timestampDelta: 2 ** 52 }] }))
    assert.isUndefined(await found({ firstTimestamp: 2 ** 60 }))
  })
})
