/** A message as a record of Kafka and back. Headers there are bytes; what is no text says so in a header of ours. */

import { Option, Predicate } from "effect"
import type { IHeaders, KafkaMessage, Message } from "kafkajs"
import type { HeaderValue, MessageContent } from "../../domain/ports/Broker.ts"

type Headers = Readonly<Record<string, HeaderValue>>

const idHeader = "message-id"
/** Where other programs put an id. */
const foreignIdHeaders = ["messageId", "message_id", "ce_id"]
const contentTypeHeader = "content-type"
const keyHeader = "key"
const keyEncodingHeader = "x-paystream-key-encoding"
const publishedAtHeader = "x-paystream-published-at"
/** Which headers are not text: `{"count": "json", "hash": "bytes"}`. */
const typesHeader = "x-paystream-header-types"
/** When a message that waits is due, in milliseconds since the epoch. */
const dueHeader = "x-paystream-due"

type HeaderType = "json" | "bytes"

/** Kafka deletes by the time of the records: one that says that it is old could be gone before it is read. */
const longestAgeMillis = 60_000

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const textOf = (bytes: Uint8Array): string | undefined =>
  Option.getOrUndefined(Option.liftThrowable(() => utf8.decode(bytes))())

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

// Out

const encodeHeader = (value: HeaderValue): readonly [bytes: Buffer, type: HeaderType | undefined] => {
  if (typeof value === "string" && value.isWellFormed()) return [Buffer.from(value), undefined]
  if (value instanceof Uint8Array) return [bufferOf(value), textOf(value) === undefined ? undefined : "bytes"]
  return [Buffer.from(JSON.stringify(value) ?? "null"), "json"]
}

const encodeHeaders = (headers: Headers): IHeaders => {
  const types: Record<string, HeaderType> = {}
  const encoded: IHeaders = {}
  for (const [name, value] of Object.entries(headers)) {
    const [bytes, type] = encodeHeader(value)
    encoded[name] = bytes
    if (type !== undefined) types[name] = type
  }
  if (Object.keys(types).length > 0) encoded[typesHeader] = Buffer.from(JSON.stringify(types))
  return encoded
}

const keyOf = ({ [keyHeader]: key, [keyEncodingHeader]: encoding }: Headers): Buffer | null => {
  if (typeof key !== "string") return null
  return encoding === "base64" ? Buffer.from(key, "base64") : Buffer.from(key)
}

const withoutKey = ({ [keyHeader]: key, [keyEncodingHeader]: encoding, ...headers }: Headers): Headers =>
  typeof key === "string" ? headers : { ...headers, ...(key === undefined ? {} : { [keyHeader]: key }) }

/** A record for a message; `due` for one that waits. */
export const toRecord = (message: MessageContent, nowMillis: number, due?: number): Message => {
  const { contentType, id, publishedAtMillis = nowMillis } = message
  const isFresh = due === undefined && Math.abs(nowMillis - publishedAtMillis) <= longestAgeMillis
  return {
    key: keyOf(message.headers),
    value: bufferOf(message.body),
    timestamp: String(isFresh ? publishedAtMillis : nowMillis),
    headers: {
      ...encodeHeaders(withoutKey(message.headers)),
      ...(id === undefined ? {} : { [idHeader]: id }),
      ...(contentType === undefined ? {} : { [contentTypeHeader]: contentType }),
      ...(isFresh ? {} : { [publishedAtHeader]: String(publishedAtMillis) }),
      ...(due === undefined ? {} : { [dueHeader]: String(due) })
    }
  }
}

// In

const decodeHeader = (value: IHeaders[string], type: unknown): HeaderValue => {
  if (value === undefined || value === null) return null
  if (Array.isArray(value)) return value.map((one) => decodeHeader(one, undefined))
  const text = type === "bytes" ? undefined : typeof value === "string" ? value : textOf(value)
  // Copied: it would keep all that was fetched with it.
  if (text === undefined) return Buffer.from(value)
  return type === "json" ? jsonOr(text, text) : text
}

const jsonOr = (text: string, otherwise: unknown): unknown =>
  Option.getOrElse(Option.liftThrowable((): unknown => JSON.parse(text))(), () => otherwise)

const typesOf = (headers: IHeaders): Readonly<Record<string, unknown>> => {
  const text = headers[typesHeader]
  const types = text === undefined ? undefined : jsonOr(String(text), undefined)
  return Predicate.isReadonlyObject(types) ? (types as Readonly<Record<string, unknown>>) : {}
}

const decodeHeaders = ({ [typesHeader]: types, ...headers }: IHeaders): Headers => {
  const known = types === undefined ? {} : typesOf({ [typesHeader]: types })
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      decodeHeader(value, Object.hasOwn(known, name) ? known[name] : undefined)
    ])
  )
}

const keyHeadersOf = (key: Buffer | null): Headers => {
  if (key === null) return {}
  const text = textOf(key)
  return text === undefined
    ? { [keyHeader]: key.toString("base64"), [keyEncodingHeader]: "base64" }
    : { [keyHeader]: text }
}

const firstText = (...values: ReadonlyArray<unknown>): string | undefined =>
  values.find((value) => typeof value === "string" && value !== "") as string | undefined

const numberOf = (value: unknown): number | undefined => {
  const number = typeof value === "string" && value !== "" ? Number(value) : Number.NaN
  return Number.isFinite(number) ? number : undefined
}

export interface Place {
  readonly topic: string
  readonly partition: number
}

/** The message in a record. One without an id has its place for one. */
export const fromRecord = ({ partition, topic }: Place, record: KafkaMessage): MessageContent & { due?: number } => {
  const {
    [idHeader]: id,
    [contentTypeHeader]: contentType,
    [publishedAtHeader]: publishedAt,
    [dueHeader]: dueAt,
    ...headers
  } = decodeHeaders(record.headers ?? {})
  const due = numberOf(dueAt)
  return {
    id: firstText(id, ...foreignIdHeaders.map((name) => headers[name])) ?? `${topic}-${partition}-${record.offset}`,
    body: record.value ?? new Uint8Array(),
    headers: { ...headers, ...keyHeadersOf(record.key) },
    contentType: firstText(contentType),
    publishedAtMillis: numberOf(publishedAt) ?? numberOf(record.timestamp),
    ...(due === undefined ? {} : { due })
  }
}
