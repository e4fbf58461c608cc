/**
 * A dead letter read back: the message that was set aside, byte for byte, and who failed to handle it.
 *
 * The original of a topic worker's dead letter is cut out of its JSON text: parsed and written again, the digits of a
 * number, the order of keys and the escapes of a string would not be what they were.
 */
import { Predicate, Result } from "effect"
import * as Base64 from "effect/encoding/Base64"
import { DeadLetterHeader } from "./DeadLetter.ts"
import type { HeaderValue, MessageContent } from "./ports/Broker.ts"
import { groupOf } from "./Subscriptions.ts"
import { WorkerDeadLetterHeader } from "./WorkerDeadLetter.ts"

/** Who failed: a queue's worker, or one group of a topic; without a group, whoever consumes the topic's own queue. */
export type Origin =
  | { readonly _tag: "Queue"; readonly queue: string }
  | { readonly _tag: "Group"; readonly topic: string; readonly group: string | undefined }

/** What a dead letter says. */
export interface DeadLetter {
  readonly origin: Origin
  readonly reason: string
  readonly error: string
  /** RFC 3339, if it says. */
  readonly time: string | undefined
  /** The topic or the queue that the original came from. */
  readonly source: string
  /** The group that failed, if it was one. */
  readonly group: string | undefined
  /** The worker's name, if it was a topic worker. */
  readonly worker: string | undefined
  /** Failed attempts before the last, if it says. */
  readonly retries: number | undefined
  /** As it came to whoever failed: body, id, content type and its own headers. */
  readonly original: MessageContent
}

type Headers = Readonly<Record<string, HeaderValue>>

const ours = "x-paystream-"

/** The headers that are not ours: what a worker noted on a message does not hold for a new attempt. */
const ownHeaders = (headers: Headers): Headers =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith(ours)))

const textOf = (headers: Headers, name: string): string | undefined => {
  const value = headers[name]
  return Predicate.isString(value) && value !== "" ? value : undefined
}

/** Reads a dead letter of the payment worker or of a topic worker; fails with why it is none. */
export const readDeadLetter = (letter: MessageContent): Result.Result<DeadLetter, string> => {
  const { headers } = letter
  const reason = textOf(headers, DeadLetterHeader.reason)
  const source = textOf(headers, DeadLetterHeader.source)
  if (reason === undefined || source === undefined) {
    const missing = reason === undefined ? DeadLetterHeader.reason : DeadLetterHeader.source
    return Result.fail(`not set aside by Paystream: it has no header ${missing}`)
  }
  const said = { reason, source, time: textOf(headers, DeadLetterHeader.time) }
  const group = textOf(headers, WorkerDeadLetterHeader.group)
  return group === undefined ? Result.succeed(ofQueue(letter, said)) : ofGroup(letter, { ...said, group })
}

type Said = Pick<DeadLetter, "reason" | "source" | "time">

const contentOf = (
  letter: MessageContent,
  changes: Pick<MessageContent, "body" | "contentType" | "id"> = letter
): MessageContent => ({
  id: changes.id,
  body: changes.body,
  contentType: changes.contentType,
  publishedAtMillis: letter.publishedAtMillis,
  headers: ownHeaders(letter.headers),
  ...propertiesOf(letter)
})

const propertiesOf = ({ headers, properties }: MessageContent) => {
  const contentEncoding = textOf(headers, WorkerDeadLetterHeader.contentEncoding)
  if (contentEncoding === undefined) return properties === undefined ? {} : { properties }
  return { properties: { ...properties, contentEncoding } }
}

const errorOf = ({ headers }: MessageContent): string => textOf(headers, DeadLetterHeader.error) ?? ""

const ofQueue = (letter: MessageContent, said: Said): DeadLetter => ({
  ...said,
  origin: { _tag: "Queue", queue: said.source },
  error: errorOf(letter),
  group: undefined,
  worker: undefined,
  retries: Math.max(0, (Number(letter.headers[DeadLetterHeader.attempt]) || 1) - 1),
  original: contentOf(letter)
})

const ofGroup = (
  letter: MessageContent,
  said: Said & { readonly group: string }
): Result.Result<DeadLetter, string> => {
  const { source, group } = said
  // As its worker subscribed, which alone knows every topic of dead letters.
  const isOwnQueue = letter.headers[WorkerDeadLetterHeader.ownQueue] === "true"
  const known = new Set(isOwnQueue ? [source] : [])
  const origin = { _tag: "Group", topic: source, group: groupOf({ topic: source, groupId: group }, known) } as const
  const id = textOf(letter.headers, WorkerDeadLetterHeader.messageId)
  if (letter.headers[WorkerDeadLetterHeader.unwrapped] === "true") {
    const original = contentOf(letter, { ...letter, id })
    return Result.succeed({ ...said, origin, error: errorOf(letter), worker: undefined, retries: undefined, original })
  }
  const parts = partsOf(letter.body)
  const body = parts && originalBody(parts, letter.headers)
  if (parts === undefined || body === undefined) {
    return Result.fail(`its body is no dead letter of a topic worker ({"original": …, "error": …})`)
  }
  const { error, retries, worker } = parts.rest
  const contentType = textOf(letter.headers, WorkerDeadLetterHeader.contentType)
  return Result.succeed({
    ...said,
    origin,
    error,
    retries,
    worker,
    original: contentOf(letter, { id, body, contentType })
  })
}

// The body of a topic worker's dead letter

interface Parts {
  /** The JSON text that stands for the original. */
  readonly original: string
  readonly rest: {
    readonly error: string
    readonly worker: string
    readonly retries: number
    readonly originalBase64?: unknown
  }
}

const start = '{"original":'
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

const attempt = <A>(evaluate: () => A): A | undefined =>
  Result.getOrUndefined(Result.try({ try: evaluate, catch: () => undefined }))

const partsOf = (body: Uint8Array): Parts | undefined => {
  const text = attempt(() => utf8.decode(body))
  if (text === undefined || !text.startsWith(start)) return undefined
  const end = endOfValue(text, start.length)
  const rest = attempt((): unknown => JSON.parse(`{${text.slice(end + 1)}`))
  return isRest(rest) ? { original: text.slice(start.length, end), rest } : undefined
}

const isRest = (rest: unknown): rest is Parts["rest"] =>
  Predicate.hasProperty(rest, "error") &&
  Predicate.isString(rest.error) &&
  Predicate.hasProperty(rest, "worker") &&
  Predicate.isString(rest.worker) &&
  Predicate.hasProperty(rest, "retries") &&
  Predicate.isNumber(rest.retries)

/** Where the JSON value that begins at `from` ends: at the first comma outside of strings, objects and arrays. */
const endOfValue = (text: string, from: number): number => {
  let depth = 0
  let inString = false
  for (let index = from; index < text.length; index++) {
    const character = text[index]
    if (inString) {
      if (character === "\\") index++
      else if (character === '"') inString = false
    } else if (character === '"') inString = true
    else if (character === "{" || character === "[") depth++
    else if (character === "}" || character === "]") depth--
    else if (character === "," && depth === 0) return index
  }
  return text.length
}

const originalBody = ({ original, rest }: Parts, headers: Headers): Uint8Array | undefined => {
  const binary = headers[WorkerDeadLetterHeader.original] ?? rest.originalBase64
  if (Predicate.isString(binary)) return Result.getOrUndefined(Base64.decode(binary))
  if (headers[WorkerDeadLetterHeader.originalForm] !== "text") return encoder.encode(original)
  const text = attempt((): unknown => JSON.parse(original))
  return Predicate.isString(text) ? encoder.encode(text) : undefined
}
