/** A message as a record of Kafka and back. Headers there are bytes; what is no text says so in a header of ours. */
import { isUtf8 } from "node:buffer"
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

/** Not among a message's own headers. */
const ourHeaders = new Set([idHeader, contentTypeHeader, publishedAtHeader, dueHeader, typesHeader])

type HeaderType = "json" | "bytes"

/** Kafka deletes by the time of the records: one that says that it is old could be gone before it is read. */
const longestAgeMillis = 60_000

const bufferOf = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const textOf = (bytes: Uint8Array): string | undefined => (isUtf8(bytes) ? bufferOf(bytes).toString() : undefined)

// Out

/** A header that came several times, as it is read: text or bytes each. */
const isRepeated = (value: HeaderValue): value is ReadonlyArray<string | Uint8Array> =>
  Array.isArray(value) &&
  value.length > 1 &&
  value.every((one) => (typeof one === "string" ? one.isWellFormed() : one instanceof Uint8Array && !isUtf8(one)))

const encodeHeader = (
  value: HeaderValue
): readonly [encoded: string | Buffer | Array<string | Buffer>, type: HeaderType | undefined] => {
  if (isRepeated(value)) return [value.map((one) => (typeof one === "string" ? one : bufferOf(one))), undefined]
  if (typeof value === "string" && value.isWellFormed()) return [value, undefined]
  if (value instanceof Uint8Array) return [bufferOf(value), textOf(value) === undefined ? undefined : "bytes"]
  return [JSON.stringify(value) ?? "null", "json"]
}

/** All but what is the record's own key. */
const encodeHeaders = (headers: Headers): IHeaders => {
  const types: Record<string, HeaderType> = {}
  const encoded: IHeaders = {}
  const hasKey = typeof headers[keyHeader] === "string"
  for (const [name, value] of Object.entries(headers)) {
    if (name === keyEncodingHeader || (name === keyHeader && (hasKey || value === undefined))) continue
    const [text, type] = encodeHeader(value)
    encoded[name] = text
    if (type !== undefined) types[name] = type
  }
  if (Object.keys(types).length > 0) encoded[typesHeader] = JSON.stringify(types)
  return encoded
}

const keyOf = ({ [keyHeader]: key, [keyEncodingHeader]: encoding }: Headers): Buffer | null => {
  if (typeof key !== "string") return null
  return encoding === "base64" ? Buffer.from(key, "base64") : Buffer.from(key)
}

/** A record for a message; `due` for one that waits. */
export const toRecord = (message: MessageContent, nowMillis: number, due?: number): Message => {
  const { contentType, id } = message
  // A database's time has a fraction, and a record's has none: the client refuses it.
  const publishedAtMillis = Math.floor(message.publishedAtMillis ?? nowMillis)
  const isFresh = due === undefined && Math.abs(nowMillis - publishedAtMillis) <= longestAgeMillis
  const headers = encodeHeaders(message.headers)
  if (id !== undefined) headers[idHeader] = id
  if (contentType !== undefined) headers[contentTypeHeader] = contentType
  if (!isFresh) headers[publishedAtHeader] = String(publishedAtMillis)
  if (due !== undefined) headers[dueHeader] = String(due)
  return {
    key: keyOf(message.headers),
    value: bufferOf(message.body),
    timestamp: String(isFresh ? publishedAtMillis : nowMillis),
    headers
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

/** What of a record's headers is ours, and the message's own. */
const readHeaders = (encoded: IHeaders) => {
  const types = encoded[typesHeader] === undefined ? undefined : typesOf(encoded)
  const headers: Record<string, HeaderValue> = {}
  const ours: Record<string, HeaderValue> = {}
  for (const [name, value] of Object.entries(encoded)) {
    const decoded = decodeHeader(value, types !== undefined && Object.hasOwn(types, name) ? types[name] : undefined)
    if (ourHeaders.has(name)) ours[name] = decoded
    else headers[name] = decoded
  }
  return { headers, ours }
}

const readKey = (key: Buffer | null, headers: Record<string, HeaderValue>): void => {
  if (key === null) return
  const text = textOf(key)
  headers[keyHeader] = text ?? key.toString("base64")
  if (text === undefined) headers[keyEncodingHeader] = "base64"
}

const firstText = (...values: ReadonlyArray<unknown>): string | undefined =>
  values.find((value) => typeof value === "string" && value !== "") as string | undefined

const foreignId = (headers: Headers) => firstText(...foreignIdHeaders.map((name) => headers[name]))

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
  const { headers, ours } = readHeaders(record.headers ?? {})
  readKey(record.key, headers)
  const due = numberOf(ours[dueHeader])
  return {
    id: firstText(ours[idHeader]) ?? foreignId(headers) ?? `${topic}-${partition}-${record.offset}`,
    body: record.value ?? new Uint8Array(),
    headers,
    contentType: firstText(ours[contentTypeHeader]),
    publishedAtMillis: numberOf(ours[publishedAtHeader]) ?? numberOf(record.timestamp),
    ...(due === undefined ? {} : { due })
  }
}
