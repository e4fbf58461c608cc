/** The body of a request as the event that it asks to publish. */
import { Result, Schema } from "effect"
import { memberOf } from "../../domain/JsonText.ts"
import { isTopic, schemas, type Topic, topics } from "../../domain/PixEvent.ts"
import * as JsonBody from "./JsonBody.ts"
import * as Problems from "./Problems.ts"

/** What is published: `value` as it was received. */
export interface ReceivedEvent {
  readonly topic: Topic
  readonly value: string
  readonly transactionId: string
}

// Compiled once: of a body, only the answer of the schema of its topic is wanted.
const decoders = Object.fromEntries(
  Object.entries(schemas).map(([topic, schema]) => [
    topic,
    Schema.decodeUnknownResult(schema as Schema.Codec<{ readonly transactionId: string }, unknown>, { errors: "all" })
  ])
)

const refuse = (...errors: ReadonlyArray<JsonBody.Flaw>) =>
  Result.fail(new Problems.InvalidEvent({ detail: `${errors.length} to mend`, errors }))

const decodeEvent = (event: Readonly<Record<string, unknown>>, text: string) => {
  const topic = Object.hasOwn(event, "topic") ? event.topic : topics.requested
  const value = memberOf(text, "value")
  const lacking = value === undefined ? [{ path: ["value"], message: "Missing key" }] : []
  if (!isTopic(topic)) {
    return refuse({ path: ["topic"], message: `Expected one of ${Object.values(topics).join(", ")}` }, ...lacking)
  }
  const decoded = value === undefined ? undefined : decoders[topic]?.(JsonBody.withWrittenAmount(event.value, value))
  if (value === undefined || decoded === undefined) return refuse(...lacking)
  if (Result.isFailure(decoded)) return refuse(...JsonBody.flawsOf(decoded.failure, ["value"]))
  return Result.succeed({ topic, value, transactionId: decoded.success.transactionId })
}

/** The event in a body, or what is wrong with it: all of it. */
export const decode = (body: Uint8Array): Result.Result<ReceivedEvent, Problems.NotJson | Problems.InvalidEvent> =>
  Result.flatMap(
    JsonBody.parse(body),
    ({ text, value }): Result.Result<ReceivedEvent, Problems.InvalidEvent> =>
      JsonBody.isObject(value) ? decodeEvent(value, text) : refuse({ path: [], message: "Expected an object" })
  )
