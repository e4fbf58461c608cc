/** Putting an original back to whoever failed to handle it: which message that is, and how it can be told later. */

import { Result } from "effect"
import { DeadLetterHeader } from "./DeadLetter.ts"
import type { MessageContent } from "./ports/Broker.ts"
import { type DeadLetter, type Origin, readDeadLetter } from "./ReadDeadLetter.ts"
import { WorkerDeadLetterHeader } from "./WorkerDeadLetter.ts"

/** The headers of a message that was put back: which replay it was, who asked for it, and when. */
export const ReplayHeader = {
  replay: "x-paystream-replay",
  by: "x-paystream-replayed-by",
  at: "x-paystream-replayed-at"
} as const

/** One run of a replay. */
export interface Replay {
  readonly id: string
  readonly by: string
}

/** The message to put back: the original as it came, with its id, and the three headers of the replay. */
export const replayed = (
  { original }: DeadLetter,
  { at, by, id }: Replay & { readonly at: string }
): MessageContent => ({
  ...original,
  headers: { ...original.headers, [ReplayHeader.replay]: id, [ReplayHeader.by]: by, [ReplayHeader.at]: at }
})

/** Where it goes, as people read it. */
export const originName = (origin: Origin): string => {
  if (origin._tag === "Queue") return `queue ${origin.queue}`
  return origin.group === undefined ? `topic ${origin.topic}` : `group ${origin.group} of topic ${origin.topic}`
}

/** Those of the hash FNV-1a, which tells contents apart and guards nothing. */
const offsetBasis = 0x811c9dc5
const prime = 0x01000193

/** A name for what has no id, made from its time, its group and its contents. */
const nameOf = ({ body, headers }: MessageContent): string => {
  let hash = offsetBasis
  const add = (byte: number): void => {
    hash = Math.imul(hash ^ byte, prime) >>> 0
  }
  for (const byte of body) add(byte)
  for (const character of JSON.stringify([headers[DeadLetterHeader.time], headers[WorkerDeadLetterHeader.group]])) {
    add(character.charCodeAt(0))
  }
  return `~${hash.toString(16).padStart(8, "0")}-${body.length}`
}

/** By what a dead letter is asked for: first the original's id, or a name where it has none; then the letter's own. */
export const idsOf = (letter: MessageContent): readonly [shown: string, ...others: ReadonlyArray<string>] => {
  const read = readDeadLetter(letter)
  const original = Result.isSuccess(read) ? read.success.original.id : letter.id
  return letter.id === undefined ? [original ?? nameOf(letter)] : [original ?? letter.id, letter.id]
}
