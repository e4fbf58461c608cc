/** All of a message but its body as JSON, for stores that keep one: values that JSON lacks come out as they went in. */
import { Predicate, Result } from "effect"
import * as Base64 from "effect/encoding/Base64"
import type { HeaderValue, MessageContent } from "./ports/Broker.ts"

export interface MessageJson {
  readonly id?: string | undefined
  readonly headers?: Readonly<Record<string, unknown>> | undefined
  readonly contentType?: string | undefined
  readonly publishedAtMillis?: number | undefined
  readonly properties?: Readonly<Record<string, unknown>> | undefined
}

/** An object that `JSON.stringify` takes. */
export const encode = ({ id, headers, contentType, properties, publishedAtMillis }: MessageContent): MessageJson => ({
  id: id || undefined,
  headers: wrapAll(headers),
  contentType,
  publishedAtMillis,
  properties: properties && wrapAll(properties)
})

/** The message of such an object and its body. */
export const decode = (json: MessageJson, body: Uint8Array): MessageContent => ({
  id: json.id,
  body,
  headers: unwrapAll(json.headers ?? {}),
  contentType: json.contentType,
  publishedAtMillis: json.publishedAtMillis,
  ...(json.properties && { properties: unwrapAll(json.properties) })
})

// Values that JSON lacks are wrapped in an object with one key.
const wrap = (value: HeaderValue): unknown => {
  if (typeof value === "bigint") return { "paystream:bigint": `${value}` }
  if (value instanceof Uint8Array) return { "paystream:bytes": Base64.encode(value) }
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

const fromBase64 = (text: unknown): Uint8Array =>
  Result.getOrElse(Base64.decode(Predicate.isString(text) ? text : ""), () => new Uint8Array())
