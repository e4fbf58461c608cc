import { createRequire } from "node:module"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { type BatchRecord, encode } from "../../../src/layers/kafka/QuickRecords.ts"

const require = createRequire(import.meta.url)
const writeRecord = require("kafkajs/src/protocol/recordBatch/record/v0")
const { RecordBatch } = require("kafkajs/src/protocol/recordBatch/v0")

const Count = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 300 }))

const RecordSchema = Schema.Struct({
  key: Schema.NullOr(Schema.String),
  length: Count,
  delta: Schema.Int.check(Schema.isBetween({ minimum: -5_000_000_000, maximum: 5_000_000_000 })),
  headers: Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Array(Schema.String)]))
})

const toRecord = ({ delta, headers, key, length }: typeof RecordSchema.Type, offsetDelta: number): BatchRecord => ({
  offsetDelta,
  timestampDelta: delta,
  key: key === null ? null : Buffer.from(key),
  value: length === 0 ? null : Buffer.alloc(length, "é"),
  headers: headers as Record<string, string | Array<string>>
})

describe("A batch of records", () => {
  it.effect.prop(
    "is byte for byte that of kafkajs",
    { records: Schema.Array(RecordSchema), transactional: Schema.Boolean },
    ({ records: given, transactional }) =>
      Effect.gen(function* () {
        const records = given.map(toRecord)
        const batch = {
          transactional,
          firstTimestamp: "1800000000000",
          maxTimestamp: 1_800_000_000_007,
          producerId: "4711",
          producerEpoch: 3,
          firstSequence: 2_000_000_000,
          lastOffsetDelta: records.length - 1
        }
        const theirs = yield* Effect.promise(() => RecordBatch({ ...batch, records: records.map(writeRecord) }))
        assert.deepStrictEqual(encode({ ...batch, records }), Buffer.from((theirs as { buffer: Buffer }).buffer))
      }),
    { arbitrary: { runs: 300, size: 20 } }
  )
})
