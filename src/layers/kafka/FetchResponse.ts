/**
 * What a broker answers to a fetch, read from its bytes: the same that kafkajs reads, in a fraction of the time. It makes
 * a reader and a dozen big integers for each record, and the object of its headers anew for each of them.
 */
import * as Bytes from "./ReadBytes.ts"

type Headers = Record<string, Buffer | null | Array<Buffer | null>>

/** A batch of records as it was published. */
interface Batch {
  readonly firstOffset: string
  readonly firstTimestamp: string
  readonly partitionLeaderEpoch: number
  readonly inTransaction: boolean
  readonly isControlBatch: boolean
  readonly lastOffsetDelta: number
  readonly producerId: string
  readonly producerEpoch: number
  readonly firstSequence: number
  readonly maxTimestamp: string
  /** 1 where the broker's time of writing is that of the records. */
  readonly timestampType: number
  readonly magicByte: number
}

interface FetchedRecord {
  readonly magicByte: number
  readonly attributes: number
  readonly timestamp: string
  readonly offset: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Headers
  readonly isControlRecord: boolean
  readonly batchContext: Batch
}

/** The version of record batches, and what one has before its records at least. */
const [magic, leastBatchBytes] = [2, 49]
const flags = { compression: 0x07, logAppendTime: 0x08, transactional: 0x10, control: 0x20 }

/** An answer of version 11; `undefined` where anything is compressed, or of an older kind: that is left to kafkajs. */
export const decode = (bytes: Buffer) => {
  const read = Bytes.make(bytes)
  const response = {
    // Nobody is slowed down by the broker here, but asked to be slow: `clientSideThrottleTime`.
    throttleTime: 0,
    clientSideThrottleTime: read.int32(),
    errorCode: read.int16(),
    sessionId: read.int32(),
    responses: list(read, readTopic)
  }
  return read.isPlain() ? response : undefined
}

const list = <A>(read: Bytes.ReadBytes, one: (read: Bytes.ReadBytes) => A): Array<A> =>
  Array.from({ length: Math.max(0, read.int32()) }, () => one(read))

const readTopic = (read: Bytes.ReadBytes) => ({ topicName: read.string(), partitions: list(read, readPartition) })

const readPartition = (read: Bytes.ReadBytes) => ({
  partition: read.int32(),
  errorCode: read.int16(),
  highWatermark: read.int64(),
  lastStableOffset: read.int64(),
  lastStartOffset: read.int64(),
  abortedTransactions: list(read, (read) => ({ producerId: read.int64(), firstOffset: read.int64() })),
  preferredReadReplica: read.int32(),
  messages: readRecords(read)
})

const readRecords = (read: Bytes.ReadBytes): ReadonlyArray<FetchedRecord> => {
  const records: Array<FetchedRecord> = []
  const size = read.int32()
  if (size <= 0 || size > read.left()) return records
  const end = read.at() + size
  // Smaller than any batch: messages of older kinds are.
  if (size < leastBatchBytes) read.giveUp()
  // The last one may be cut off: it is fetched again.
  while (end - read.at() >= leastBatchBytes && readBatch(read, end, records));
  read.moveTo(end)
  return records
}

/** `false` where it is not there as a whole. */
const readBatch = (read: Bytes.ReadBytes, end: number, records: Array<FetchedRecord>): boolean => {
  const firstOffset = read.int64()
  const batchEnd = read.int32() + read.at()
  if (batchEnd > end) return false
  const partitionLeaderEpoch = read.int32()
  const magicByte = read.int8()
  read.int32() // the checksum, which kafkajs does not look at
  const attributes = read.int16()
  const batch: Batch = {
    firstOffset,
    partitionLeaderEpoch,
    magicByte,
    inTransaction: (attributes & flags.transactional) > 0,
    isControlBatch: (attributes & flags.control) > 0,
    timestampType: (attributes & flags.logAppendTime) > 0 ? 1 : 0,
    lastOffsetDelta: read.int32(),
    firstTimestamp: read.int64(),
    maxTimestamp: read.int64(),
    producerId: read.int64(),
    producerEpoch: read.int16(),
    firstSequence: read.int32()
  }
  if (magicByte !== magic || (attributes & flags.compression) > 0) read.giveUp()
  else readBatchRecords(read, batch, records)
  read.moveTo(batchEnd)
  return true
}

const readBatchRecords = (read: Bytes.ReadBytes, batch: Batch, records: Array<FetchedRecord>): void => {
  const firstOffset = Number(batch.firstOffset)
  const firstMillis = Number(batch.firstTimestamp)
  if (!Number.isSafeInteger(firstOffset) || !Number.isSafeInteger(firstMillis)) read.giveUp()
  const names: Array<string> = []
  for (let left = read.int32(); left > 0; left--) {
    const end = read.varInt() + read.at()
    const attributes = read.int8()
    const millis = firstMillis + read.varInt()
    const offset = firstOffset + read.varInt()
    records.push({
      magicByte: batch.magicByte,
      attributes,
      timestamp: batch.timestampType === 1 ? batch.maxTimestamp : String(millis),
      offset: String(offset),
      key: read.field(),
      value: read.field(),
      headers: readHeaders(read, names),
      isControlRecord: batch.isControlBatch,
      batchContext: batch
    })
    read.moveTo(end)
  }
}

/** `names` are those of the record before, and then of this one: mostly they are the same. */
const readHeaders = (read: Bytes.ReadBytes, names: Array<string>): Headers => {
  const headers: Headers = {}
  const count = read.varInt()
  for (let place = 0; place < count; place++) {
    const name = read.text(names[place])
    names[place] = name
    const value = read.field()
    if (!(name in headers)) headers[name] = value
    // What every object has is no header: kafkajs takes it for one.
    else if (!Object.hasOwn(headers, name)) read.giveUp()
    else headers[name] = [headers[name] ?? null, value].flat()
  }
  return headers
}
