/** The body of a request as the event that it asks to publish. */
import { Option, Predicate, Result, Schema, SchemaIssue } from "effect"
import { memberOf } from "../../domain/JsonText.ts"
import { isTopic, schemas, type Topic, topics } from "../../domain/PixEvent.ts"
import * as Problems from "./Problems.ts"

/** What is published: `value` as it was received. */
export interface ReceivedEvent {
  readonly topic: Topic
  readonly value: string
  readonly transactionId: string
}

interface Flaw {
  readonly path: ReadonlyArray<string | number>
  readonly message: string
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const textOf = Option.liftThrowable((body: Uint8Array) => utf8.decode(body))
const parse = Option.liftThrowable((text: string): unknown => JSON.parse(text))

// Compiled once: of a body, only the answer of the schema of its topic is wanted.
const decoders = Object.fromEntries(
  Object.entries(schemas).map(([topic, schema]) => [
    topic,
    Schema.decodeUnknownResult(schema as Schema.Codec<{ readonly transactionId: string }, unknown>, { errors: "all" })
  ])
)
const format = SchemaIssue.makeFormatterStandardSchemaV1()

const keyOf = (segment: PropertyKey | { readonly key: PropertyKey }): string | number => {
  const key = typeof segment === "object" ? segment.key : segment
  return typeof key === "number" ? key : String(key)
}

const flawsOf = ({ issue }: Schema.SchemaError): ReadonlyArray<Flaw> =>
  format(issue).issues.map(({ message, path }) => ({ path: ["value", ...(path ?? []).map(keyOf)], message }))

/** The value with its amount as it was written: a parsed number has lost the digits that a double does not hold. */
const withWrittenAmount = (value: unknown, text: string): unknown =>
  Predicate.hasProperty(value, "amount") && typeof value.amount === "number"
    ? { ...value, amount: memberOf(text, "amount") }
    : value

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const refuse = (...errors: ReadonlyArray<Flaw>) =>
  Result.fail(new Problems.InvalidEvent({ detail: `${errors.length} to mend`, errors }))

const decodeEvent = (event: Readonly<Record<string, unknown>>, text: string) => {
  const topic = Object.hasOwn(event, "topic") ? event.topic : topics.requested
  const value = memberOf(text, "value")
  const lacking = value === undefined ? [{ path: ["value"], message: "Missing key" }] : []
  if (!isTopic(topic)) {
    return refuse({ path: ["topic"], message: `Expected one of ${Object.values(topics).join(", ")}` }, ...lacking)
  }
  const decoded = value === undefined ? undefined : decoders[topic]?.(withWrittenAmount(event.value, value))
  if (value === undefined || decoded === undefined) return refuse(...lacking)
  if (Result.isFailure(decoded)) return refuse(...flawsOf(decoded.failure))
  return Result.succeed({ topic, value, transactionId: decoded.success.transactionId })
}

/** The event in a body, or what is wrong with it: all of it. */
export const decode = (body: Uint8Array): Result.Result<ReceivedEvent, Problems.NotJson | Problems.InvalidEvent> => {
  const text = Option.getOrUndefined(textOf(body))
  if (text === undefined) return Result.fail(new Problems.NotJson({ detail: "the body is not UTF-8" }))
  const event = parse(text)
  if (Option.isNone(event)) return Result.fail(new Problems.NotJson({ detail: "the body is not a JSON text" }))
  if (!isObject(event.value)) return refuse({ path: [], message: "Expected an object" })
  return decodeEvent(event.value, text)
}
