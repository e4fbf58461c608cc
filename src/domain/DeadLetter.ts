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

// Text that cannot be encoded (a lone surrogate, cut in half or quoted from the body) would fail the publish.
const headerText = (text: string): string => text.slice(0, maxErrorCharacters).toWellFormed()

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
    [DeadLetterHeader.error]: headerText(options.error),
    [DeadLetterHeader.source]: options.source,
    [DeadLetterHeader.time]: options.time,
    [DeadLetterHeader.attempt]: options.delivery.attempt
  })
})
