/** The body of a request as a JSON text, and what a schema has against it. */
import { Option, Predicate, Result, type Schema, SchemaIssue } from "effect"
import { memberOf } from "../../domain/JsonText.ts"
import * as Problems from "./Problems.ts"

/** What is wrong, and where. */
export interface Flaw {
  readonly path: ReadonlyArray<string | number>
  readonly message: string
}

/** A JSON text, and what it says. */
export interface Parsed {
  readonly text: string
  readonly value: unknown
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const textOf = Option.liftThrowable((body: Uint8Array) => utf8.decode(body))
const parseText = Option.liftThrowable((text: string): unknown => JSON.parse(text))

/** Reads a body as JSON in UTF-8. */
export const parse = (body: Uint8Array): Result.Result<Parsed, Problems.NotJson> => {
  const text = Option.getOrUndefined(textOf(body))
  if (text === undefined) return Result.fail(new Problems.NotJson({ detail: "the body is not UTF-8" }))
  const value = parseText(text)
  if (Option.isNone(value)) return Result.fail(new Problems.NotJson({ detail: "the body is not a JSON text" }))
  return Result.succeed({ text, value: value.value })
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The value with its amount as it was written: a parsed number has lost the digits that a double does not hold. */
export const withWrittenAmount = (value: unknown, text: string): unknown =>
  Predicate.hasProperty(value, "amount") && typeof value.amount === "number"
    ? { ...value, amount: memberOf(text, "amount") }
    : value

const format = SchemaIssue.makeFormatterStandardSchemaV1()

const keyOf = (segment: PropertyKey | { readonly key: PropertyKey }): string | number => {
  const key = typeof segment === "object" ? segment.key : segment
  return typeof key === "number" ? key : String(key)
}

/** All that a schema has found, each below `prefix`. */
export const flawsOf = ({ issue }: Schema.SchemaError, prefix: ReadonlyArray<string> = []): ReadonlyArray<Flaw> =>
  format(issue).issues.map(({ message, path }) => ({ path: [...prefix, ...(path ?? []).map(keyOf)], message }))
