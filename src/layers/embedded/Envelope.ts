/** A message as a row of the embedded broker holds it: JSON that any `jsonb` takes, the body's bytes beside it. */
import { Predicate } from "effect"
import type { HeaderValue, MessageContent } from "../../domain/ports/Broker.ts"

/**
 * The `data` of a row. `sealed` is the rest as base64 of its JSON, where `jsonb` would refuse the text; `order` is when
 * a message of a topic was published, in seconds, no two of a process the same.
 */
export type Envelope = { readonly body: string; readonly order?: number } & (Properties | { readonly sealed: string })

interface Properties {
  readonly id?: string
  readonly headers?: Readonly<Record<string, unknown>>
  readonly contentType?: string
  readonly publishedAtMillis?: number
}

// `jsonb` takes neither U+0000 nor half of a surrogate pair; both leave JSON.stringify as an escape.
const refusedByJsonb = /\\u(0000|d[89a-f])/i

// Values that JSON lacks are wrapped in an object with one key, so that they come out as they went in.
const wrap = (value: HeaderValue): unknown => {
  if (typeof value === "bigint") return { "paystream:bigint": `${value}` }
  if (value instanceof Uint8Array) return { "paystream:bytes": toBase64(value) }
  if (value instanceof Date) return { "paystream:date": value.getTime() }
  if (Array.isArray(value)) return value.map(wrap)
  return Predicate.isObject(value) ? wrapAll(value) : value
}

const wrapAll = (record: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, wrap(value)]))

const unwrap = (value: unknown): HeaderValue => {
  if (Array.isArray(value)) return value.map(unwrap)
  if (!Predicate.isObject(value)) return value
  if ("paystream:bigint" in value) return BigInt(String(value["paystream:bigint"]))
  if ("paystream:bytes" in value) return fromBase64(value["paystream:bytes"])
  if ("paystream:date" in value) return new Date(Number(value["paystream:date"]))
  return unwrapAll(value)
}

const unwrapAll = (record: object): Record<string, HeaderValue> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, unwrap(value)]))

const toBase64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64")

const fromBase64 = (text: unknown): Uint8Array => Buffer.from(typeof text === "string" ? text : "", "base64")

/** The row for a message. */
export const seal = ({ id, body, headers, contentType, publishedAtMillis }: MessageContent): Envelope => {
  const properties = JSON.stringify({ id: id || undefined, headers: wrapAll(headers), contentType, publishedAtMillis })
  const parsed: Properties = JSON.parse(properties)
  return refusedByJsonb.test(properties)
    ? { sealed: Buffer.from(properties).toString("base64"), body: toBase64(body) }
    : { ...parsed, body: toBase64(body) }
}

/** The message of a row. */
export const open = (envelope: Envelope): MessageContent => {
  const { id, headers, contentType, publishedAtMillis }: Properties =
    "sealed" in envelope ? JSON.parse(Buffer.from(envelope.sealed, "base64").toString()) : envelope
  return { id, body: fromBase64(envelope.body), headers: unwrapAll(headers ?? {}), contentType, publishedAtMillis }
}
