/**
 * What a topic worker could not do, as a message of its own: `{"original": …, "error": …, "worker": …, "retries": n}`.
 * The original is spliced in as it was received, so that no digit of a number is lost.
 */
import { Predicate } from "effect"
import { DeadLetterHeader, headerError } from "./DeadLetter.ts"
import { fitting } from "./Headers.ts"
import type { Delivery, TopicMessage } from "./ports/Broker.ts"

/** Why a topic worker set a message aside. */
export type WorkerDeadLetterReason = "invalid_input" | "invalid_output" | "retries_exhausted" | "rejected" | "crashed"

/** The headers that a topic worker's dead letter carries beside those of any other. */
export const WorkerDeadLetterHeader = {
  group: "x-paystream-group",
  /** The worker consumed the topic's own queue, in which there are no groups. */
  ownQueue: "x-paystream-own-queue",
  /** The original's id, if it had one: that of the letter may say more. */
  messageId: "x-paystream-message-id",
  /** The body is the original itself: with something around it, it would be larger than the broker takes. */
  unwrapped: "x-paystream-unwrapped",
  /** A body that is not UTF-8 has no place in JSON: it is kept here, as base64, or in the body if it is too large. */
  original: "x-paystream-original-base64",
  /** `text` for an original that was no JSON: in the body it stands as a string, like a string that was JSON. */
  originalForm: "x-paystream-original-form",
  /** The original's own; the dead letter is JSON whatever it was. */
  contentType: "x-paystream-content-type",
  /** The same of how it was encoded (`gzip`). */
  contentEncoding: "x-paystream-content-encoding"
} as const

const maxOriginalHeaderCharacters = 32 * 1024

export interface WorkerFailure {
  readonly delivery: Delivery
  /** Of the letter. */
  readonly id: string | undefined
  /** The body's text, if it is UTF-8, and whether it is JSON. */
  readonly original: { readonly text: string | undefined; readonly isJson: boolean }
  readonly worker: string
  readonly group: string
  /** It came from the topic's own queue, and not from the group's. */
  readonly isFromOwnQueue: boolean
  readonly source: string
  readonly deadLetterTopic: string
  readonly reason: WorkerDeadLetterReason
  readonly error: string
  readonly retries: number
  /** RFC 3339. */
  readonly time: string
}

const originalJson = ({ isJson, text }: WorkerFailure["original"]): string =>
  text === undefined ? "null" : isJson ? text : JSON.stringify(text)

const formOf = ({ delivery: { contentType, id, properties }, original }: WorkerFailure) => ({
  ...(Predicate.isString(properties?.contentEncoding)
    ? { [WorkerDeadLetterHeader.contentEncoding]: properties.contentEncoding }
    : {}),
  ...(id === undefined ? {} : { [WorkerDeadLetterHeader.messageId]: id }),
  ...(contentType === undefined ? {} : { [WorkerDeadLetterHeader.contentType]: contentType }),
  ...(original.text === undefined || original.isJson ? {} : { [WorkerDeadLetterHeader.originalForm]: "text" })
})

const propertiesOf = ({ properties }: Delivery) => {
  if (properties === undefined) return {}
  const { contentEncoding: _, ...others } = properties
  return { properties: others }
}

const base64 = (body: Uint8Array): string => btoa(Array.from(body, (byte) => String.fromCharCode(byte)).join(""))

const encoder = new TextEncoder()

/** The message for the dead-letter topic, with the original's headers. */
export const workerDeadLetter = (failure: WorkerFailure): TopicMessage => {
  const error = headerError(failure.error)
  const binary = failure.original.text === undefined ? base64(failure.delivery.body) : undefined
  const fitsHeader = binary !== undefined && binary.length <= maxOriginalHeaderCharacters
  const rest = JSON.stringify({
    error,
    worker: failure.worker,
    retries: failure.retries,
    ...(binary === undefined || fitsHeader ? {} : { originalBase64: binary })
  }).slice(1)
  return {
    topic: failure.deadLetterTopic,
    id: failure.id,
    body: encoder.encode(`{"original":${originalJson(failure.original)},${rest}`),
    contentType: "application/json",
    publishedAtMillis: failure.delivery.publishedAtMillis,
    ...propertiesOf(failure.delivery),
    headers: fitting(failure.delivery.headers, {
      [DeadLetterHeader.reason]: failure.reason,
      [DeadLetterHeader.error]: error,
      [DeadLetterHeader.source]: failure.source,
      [DeadLetterHeader.time]: failure.time,
      [DeadLetterHeader.attempt]: failure.delivery.attempt,
      [WorkerDeadLetterHeader.group]: failure.group,
      ...(failure.isFromOwnQueue ? { [WorkerDeadLetterHeader.ownQueue]: "true" } : {}),
      ...formOf(failure),
      ...(fitsHeader ? { [WorkerDeadLetterHeader.original]: binary } : {})
    })
  }
}

/** The letter as the original itself, with the same headers: for a broker that took the original, and no more. */
export const unwrapped = (letter: TopicMessage, { body, contentType, properties }: Delivery): TopicMessage => ({
  ...letter,
  body,
  contentType,
  ...(properties === undefined ? {} : { properties }),
  headers: { ...letter.headers, [WorkerDeadLetterHeader.unwrapped]: "true" }
})
