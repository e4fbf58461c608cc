/**
 * The partition of a record: that of its key as Java's client finds it, or else each in turn. kafkajs computes the same
 * with big integers, which takes longer than all else that is done to a record.
 */
import { type Message, type PartitionerArgs, Partitioners } from "kafkajs"

const seed = 0x9747b28c
const factor = 0x5bd1e995
const largestInteger = 0x7fffffff

/** Murmur2 in 32 bits, as Kafka has it. */
export const murmur2 = (bytes: Uint8Array): number => {
  const { length } = bytes
  const at = (index: number): number => bytes[index] ?? 0
  let hash = seed ^ length
  let index = 0
  for (; index + 4 <= length; index += 4) {
    let word = at(index) | (at(index + 1) << 8) | (at(index + 2) << 16) | (at(index + 3) << 24)
    word = Math.imul(word, factor)
    word = Math.imul(word ^ (word >>> 24), factor)
    hash = Math.imul(hash, factor) ^ word
  }
  if (index < length) {
    hash ^= at(index) | (at(index + 1) << 8) | (at(index + 2) << 16)
    hash = Math.imul(hash, factor)
  }
  hash = Math.imul(hash ^ (hash >>> 13), factor)
  return hash ^ (hash >>> 15)
}

/** The same for each attempt: a repeat elsewhere would be none. */
export const make = () => {
  const inTurn = Partitioners.DefaultPartitioner()
  const choose = (args: PartitionerArgs): number => {
    const { key } = args.message
    if (!(key instanceof Uint8Array)) return inTurn(args)
    return (murmur2(key) & largestInteger) % args.partitionMetadata.length
  }
  return (args: PartitionerArgs): number => {
    const message: Message = args.message
    message.partition ??= choose(args)
    return message.partition
  }
}
