/** A message that was set aside: the body byte for byte, the headers kept, and beside them why, when and whence. */
import { fitting } from "./Headers.ts"
import type { Delivery, OutgoingMessage } from "./ports/Broker.ts"

/** Why a message was set aside. */
export type DeadLetterReason =
  | "empty"
  | "too_large"
  | "invalid_utf8"
  | "invalid_json"
  | "rejected_by_database"
  | "conflict"

/** The headers that a dead letter carries beside the original's own. */
export const DeadLetterHeader = {
  reason: "x-paystream-reason",
  error: "x-paystream-error",
  source: "x-paystream-source",
  time: "x-paystream-time",
  attempt: "x-paystream-attempt"
} as const

/** Longest error text in a header, in characters: it shares the frame with all other headers. */
const maxErrorCharacters = 4096

/** An error as a header takes it: text that cannot be encoded (half a character, cut or quoted) would fail the publish. */
export const headerError = (error: string): string => error.slice(0, maxErrorCharacters).toWellFormed()

/** The message to publish to the dead-letter queue; `time` is RFC 3339. */
export const deadLetter = (options: {
  readonly delivery: Delivery
  readonly queue: string
  readonly source: string
  readonly reason: DeadLetterReason
  readonly error: string
  readonly time: string
}): OutgoingMessage => ({
  queue: options.queue,
  id: options.delivery.id,
  body: options.delivery.body,
  contentType: options.delivery.contentType,
  publishedAtMillis: options.delivery.publishedAtMillis,
  ...(options.delivery.properties === undefined ? {} : { properties: options.delivery.properties }),
  headers: fitting(options.delivery.headers, {
    [DeadLetterHeader.reason]: options.reason,
    [DeadLetterHeader.error]: headerError(options.error),
    [DeadLetterHeader.source]: options.source,
    [DeadLetterHeader.time]: options.time,
    [DeadLetterHeader.attempt]: options.delivery.attempt
  })
})
