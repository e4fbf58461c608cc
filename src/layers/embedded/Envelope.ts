/** A message as a row of the embedded broker holds it: JSON that any `jsonb` takes, the body's bytes beside it. */
import * as MessageJson from "../../domain/MessageJson.ts"
import type { MessageContent } from "../../domain/ports/Broker.ts"

/**
 * The `data` of a row. `sealed` is the rest as base64 of its JSON, where `jsonb` would refuse the text; `order` is when
 * a message of a topic was published, in seconds, no two of a process the same.
 */
export type Envelope = { readonly body: string; readonly order?: number } & (
  | MessageJson.MessageJson
  | { readonly sealed: string }
)

// `jsonb` takes neither U+0000 nor half of a surrogate pair; both leave JSON.stringify as an escape.
const refusedByJsonb = /\\u(0000|d[89a-f])/i

const toBase64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64")

const fromBase64 = (text: string): Uint8Array => Buffer.from(text, "base64")

/** The row for a message. */
export const seal = (message: MessageContent): Envelope => {
  const properties = JSON.stringify(MessageJson.encode(message))
  const parsed: MessageJson.MessageJson = JSON.parse(properties)
  const body = toBase64(message.body)
  return refusedByJsonb.test(properties)
    ? { sealed: Buffer.from(properties).toString("base64"), body }
    : { ...parsed, body }
}

/** The message of a row. */
export const open = (envelope: Envelope): MessageContent => {
  const properties = "sealed" in envelope ? JSON.parse(Buffer.from(envelope.sealed, "base64").toString()) : envelope
  return MessageJson.decode(properties, fromBase64(envelope.body))
}
