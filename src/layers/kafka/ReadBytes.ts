/** Bytes as Kafka's protocol has them, read one after the other. */

export type ReadBytes = ReturnType<typeof make>

/** More bits do not fit into a number of JavaScript. */
const beyond = 2 ** 49

/** At their beginning. */
export const make = (bytes: Buffer) => {
  let at = 0
  let isPlain = true

  const skip = (size: number): number => {
    at += size
    return at - size
  }
  const unsigned = (): number => {
    let value = 0
    let unit = 1
    let byte: number
    do {
      byte = bytes[at++] ?? 0
      value += (byte & 0x7f) * unit
      unit *= 0x80
    } while (byte > 0x7f && unit < beyond)
    if (byte > 0x7f) isPlain = false
    return value
  }
  /** The sign is its last bit. */
  const varInt = (): number => {
    const value = unsigned()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  return {
    at: () => at,
    left: () => bytes.length - at,
    moveTo: (place: number): void => {
      at = place
    },
    /** What is here is not what this reads. */
    giveUp: (): void => {
      isPlain = false
    },
    isPlain: () => isPlain,
    int8: (): number => bytes.readInt8(skip(1)),
    int16: (): number => bytes.readInt16BE(skip(2)),
    int32: (): number => bytes.readInt32BE(skip(4)),
    int64: (): string => bytes.readBigInt64BE(skip(8)).toString(),
    varInt,
    /** A text with its length of 16 bits before it. */
    string: (): string => {
      const size = bytes.readInt16BE(skip(2))
      return bytes.toString("utf8", skip(size), at)
    },
    /** Bytes with their length before them. */
    field: (): Buffer | null => {
      const size = varInt()
      return size === -1 ? null : bytes.subarray(skip(size), at)
    },
    /** Text with its length before it: the one that it is expected to be is not made anew. */
    text: (expected: string | undefined): string => {
      const size = varInt()
      const begin = skip(size)
      if (expected?.length === size && isText(bytes, begin, expected)) return expected
      return bytes.toString("utf8", begin, at)
    }
  }
}

const isText = (bytes: Buffer, begin: number, text: string): boolean => {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code > 0x7f || code !== bytes[begin + index]) return false
  }
  return true
}
