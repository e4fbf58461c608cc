/** Headers have to fit into a frame: what is too much of them would stop the message, and the queue behind it. */
import type { HeaderValue } from "./ports/Broker.ts"

type Headers = Readonly<Record<string, HeaderValue>>

/** The names of the headers that were left out. */
const droppedHeader = "x-paystream-dropped-headers"

/** AMQP clients write properties into a buffer of 64 KiB; the rest is for what they add, and for our estimate. */
const maxHeaderBytes = 48 * 1024
const longestListCharacters = 1024

const encoder = new TextEncoder()

const bytesOf = ([name, value]: readonly [string, HeaderValue]): number => {
  const text = typeof value === "string" ? value : (JSON.stringify(value, withoutBigInt) ?? "")
  return encoder.encode(name).length + encoder.encode(text).length + 16
}

const withoutBigInt = (_: string, value: unknown) => (typeof value === "bigint" ? String(value) : value)

/** The headers of a message as they are, or without the largest of them, which are named instead; `own` all stay. */
export const fitting = (headers: Headers, own: Headers): Headers => {
  let left = maxHeaderBytes - Object.entries(own).reduce((sum, entry) => sum + bytesOf(entry), 0)
  const kept: Array<readonly [string, HeaderValue]> = []
  const dropped: Array<string> = []
  for (const entry of Object.entries(headers).sort((one, other) => bytesOf(one) - bytesOf(other))) {
    left -= bytesOf(entry)
    if (left >= longestListCharacters) kept.push(entry)
    else dropped.push(entry[0])
  }
  if (dropped.length === 0) return { ...headers, ...own }
  return { ...Object.fromEntries(kept), ...own, [droppedHeader]: dropped.join(" ").slice(0, longestListCharacters) }
}
