/** What a topic worker reads from a message, and what it makes of a value: JSON in, JSON out, checked by its schemas. */
import { Cause, Effect, Option, Predicate, Schema } from "effect"
import { withWrittenNumbers } from "../domain/JsonText.ts"
import { readsAmounts } from "../domain/Money.ts"
import type { Delivery } from "../domain/ports/Broker.ts"
import { outputId } from "../domain/WorkerIds.ts"
import { atOnce, successOf } from "./AtOnce.ts"
import type { Worker } from "./Worker.ts"

/** How often the handler of this message has failed before. */
export const retriesHeader = "x-paystream-retries"

/** What keeps messages in order among themselves. */
export const keyOf = ({ headers }: Delivery): string | undefined =>
  Predicate.isString(headers.key) ? headers.key : undefined

/** How often the handler has failed for this message. */
export const retriesOf = ({ headers }: Delivery): number => {
  const retries = Number(headers[retriesHeader])
  return Number.isSafeInteger(retries) && retries > 0 ? retries : 0
}

/** What is wrong with a message's version, if its worker does not read that one. */
export const versionProblem = (
  { topic, version }: Pick<Worker<never, never>, "topic" | "version">,
  { headers }: Delivery
): string | undefined => {
  const found = headers.version ?? version
  if (version === undefined || String(found) === version) return undefined
  return `the header version is ${JSON.stringify(String(found))}: version ${version} of ${topic} is read here, and no other`
}

/** The body as text, and as the JSON value that it is, if it is one. */
export type Original = { readonly text: string | undefined; readonly isJson: boolean; readonly json: unknown }

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const textOf = Option.liftThrowable((body: Uint8Array) => utf8.decode(body))
const parse = Option.liftThrowable((text: string): unknown => JSON.parse(text))

/** Reads a body. */
export const readOriginal = ({ body }: Delivery): Original => {
  const text = Option.getOrUndefined(textOf(body))
  if (text === undefined) return { text, isJson: false, json: undefined }
  const json = parse(text)
  return { text, isJson: Option.isSome(json), json: Option.getOrUndefined(json) }
}

/** How a worker's messages become values, and its values messages. */
export interface Codec<in out In> {
  /** The input as its worker takes it, or what is wrong with it. */
  readonly decode: (original: Original) => Effect.Effect<In, string>
  /** The output as JSON text; `undefined` if there is nothing to publish. */
  readonly encode: (value: unknown) => Effect.Effect<string | undefined, string>
}

/** Made once for a worker: to make a schema's parser costs more than to use it. */
export const codecOf = <In, Out, R>({ input, output, outputTopic }: Worker<In, Out, R>): Codec<In> => {
  const decode = input && Schema.decodeUnknownEffect(input, { errors: "all" })
  // Of a number that was rounded when it was parsed, an amount could not tell.
  const isExact = input !== undefined && readsAmounts(input)
  const encode = output ? Schema.encodeUnknownEffect(output, { errors: "all" }) : Effect.succeed<unknown>
  return {
    decode: ({ isJson, json, text }) => {
      if (text === undefined) return Effect.fail("the body is not UTF-8")
      if (!isJson) return Effect.fail("the body is not JSON")
      if (decode === undefined) return Effect.succeed(json as In)
      return toProblem(() => decode(isExact ? withWrittenNumbers(text, json) : json))
    },
    encode: (value) => {
      if (value === undefined || value === null) return Effect.undefined
      return toProblem(
        (): Effect.Effect<string | undefined, unknown> =>
          outputTopic === undefined ? Effect.as(encode(value), undefined) : Effect.flatMapEager(encode(value), toJson)
      )
    }
  }
}

const toJson = (value: unknown): Effect.Effect<string, string> => {
  const text: string | undefined = JSON.stringify(value)
  return text === undefined ? Effect.fail(`no JSON value: ${typeof value}`) : Effect.succeed(text)
}

// A schema's own code may throw: the message is at fault then, not the worker.
const toProblem = <A, E>(evaluate: () => Effect.Effect<A, E>): Effect.Effect<A, string> => {
  const begun = atOnce(evaluate)
  return (
    successOf(begun) ??
    Effect.catchCause(begun, (cause) =>
      Cause.hasInterruptsOnly(cause) ? Effect.interrupt : Effect.fail(messageOf(Cause.squash(cause)))
    )
  )
}

/** Ids by position for what a worker publishes for an input; `stem` stands for the input's, without which there is none. */
export const outputIds = (worker: string, stem: string | undefined) => {
  let position = 0
  return () => (stem === undefined ? undefined : outputId(stem, worker, position++))
}

/** What people read of an error. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
