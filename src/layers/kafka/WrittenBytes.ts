/** Bytes as Kafka's protocol has them, written one after the other into room that grows. */

/** A number of 64 bits as kafkajs has it. */
export type Long = string | number | bigint | { readonly value: bigint }

export type Field = Uint8Array | string | null | undefined

/** What the length of most records takes: those of 64 to 8191 bytes. */
const usualLengthBytes = 2
/** A number takes no more than this. */
const longestVarInt = 10

const isInt32 = (value: number): boolean => value === (value | 0)

const longOf = (value: Long): bigint => (typeof value === "object" ? value.value : BigInt(value))

const zigZag = (value: number): number => ((value << 1) ^ (value >> 31)) >>> 0
const zigZagLong = (value: bigint): bigint => BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))

const sizeOfVarInt = (value: number): number => Math.max(1, Math.ceil((32 - Math.clz32(zigZag(value))) / 7))

/** -1 for none. */
const sizeOf = (value: Field): number => {
  if (value === null || value === undefined) return -1
  return typeof value === "string" ? Buffer.byteLength(value) : value.length
}

/** Room for bytes, which grows as it is taken; and numbers of a fixed size. */
class Room {
  protected bytes: Buffer
  #at = 0

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafe(size)
  }
  /** Where the next byte comes. */
  get at(): number {
    return this.#at
  }
  /** What was written from there on. */
  from(start: number): Buffer {
    return this.bytes.subarray(start, this.#at)
  }
  int8(value: number): void {
    const place = this.take(1)
    this.bytes[place] = value
  }
  int16(value: number): void {
    const place = this.take(2)
    this.bytes.writeInt16BE(value, place)
  }
  /** Gives where it is: it may be set later. */
  int32(value: number): number {
    const place = this.take(4)
    this.bytes.writeInt32BE(value, place)
    return place
  }
  setInt32(place: number, value: number): void {
    this.bytes.writeInt32BE(value, place)
  }
  int64(value: Long): void {
    const place = this.take(8)
    this.bytes.writeBigInt64BE(longOf(value), place)
  }
  protected reserve(size: number): void {
    if (this.#at + size <= this.bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(2 * this.bytes.length, this.#at + size))
    this.bytes.copy(larger, 0, 0, this.#at)
    this.bytes = larger
  }
  /** Takes so much room; gives where it is. */
  protected take(size: number): number {
    this.reserve(size)
    this.#at += size
    return this.#at - size
  }
  protected moveTo(place: number): void {
    this.#at = place
  }
  /** Within what is reserved. */
  protected putByte(byte: number): void {
    this.bytes[this.#at++] = byte
  }
}

/** Nothing is written at first. What has a size of its own tells it before. */
export class WrittenBytes extends Room {
  varInt(value: number): void {
    this.reserve(longestVarInt)
    this.#putVarInt(value)
  }
  varLong(value: number): void {
    if (isInt32(value)) this.varInt(value)
    else this.#bigVarInt(BigInt(value))
  }
  /** A text with its length of 16 bits before it. */
  string(value: string | null | undefined): void {
    const size = sizeOf(value)
    this.int16(size)
    if (value) this.#put(value, size)
  }
  /** Text or bytes with their length before them. */
  field(value: Field): void {
    const size = sizeOf(value)
    this.varInt(size)
    if (value) this.#put(value, size)
  }
  /** What is written from here until its `end` gets its length before it. */
  begin(): number {
    return this.take(usualLengthBytes)
  }
  /** Written where it would be with a length of the usual size: moved if its own takes more or less. */
  end(begun: number): void {
    const from = begun + usualLengthBytes
    const size = this.at - from
    const lengthBytes = sizeOfVarInt(size)
    if (lengthBytes !== usualLengthBytes) {
      this.reserve(lengthBytes)
      this.bytes.copyWithin(begun + lengthBytes, from, from + size)
    }
    this.moveTo(begun)
    this.#putVarInt(size)
    this.take(size)
  }
  #bigVarInt(value: bigint): void {
    this.reserve(longestVarInt)
    let rest = zigZagLong(value)
    for (; rest > 0x7fn; rest >>= 7n) this.putByte(Number(rest & 0x7fn) | 0x80)
    this.putByte(Number(rest))
  }
  #putVarInt(value: number): void {
    let rest = zigZag(value)
    for (; rest > 0x7f; rest >>>= 7) this.putByte((rest & 0x7f) | 0x80)
    this.putByte(rest)
  }
  #put(value: Uint8Array | string, size: number): void {
    const place = this.take(size)
    if (typeof value === "string") this.bytes.write(value, place, size)
    else this.bytes.set(value, place)
  }
}
