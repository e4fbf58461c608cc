/** Which of so many partitions a key belongs to: the same in every process, version and runtime. */

const encoder = new TextEncoder()
const offsetBasis = 0x811c9dc5
const prime = 0x01000193

/** FNV-1a over the key's UTF-8, from 0 to before `partitions`. Never to be changed: it would part messages of one key. */
export const partitionOf = (key: string, partitions: number): number => {
  let hash = offsetBasis
  for (const byte of encoder.encode(key)) hash = Math.imul(hash ^ byte, prime)
  return (hash >>> 0) % partitions
}
