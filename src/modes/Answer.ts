/**
 * What a command answers on the standard output, in one of two forms.
 *
 * ## Guarantees
 * - For machines (`--json`): one JSON value on one line. A list is an array, anything else an object that says what there
 *   is or what was done. Every field is there each time: `null` is what is not known. Instants are ISO 8601 in UTC, times
 *   are in milliseconds and say so in their names, amounts are decimal text, no digit is lost.
 * - What may go on for long is told one JSON value a line, as it is done.
 * - For people: a table, or cards where the terminal is too narrow for it; nothing in it moves a cursor.
 * - Notes, progress and the log are elsewhere: on the standard error. The exit code is the same in both forms.
 */
import { Console, Effect, Terminal } from "effect"
import { isoOf } from "../domain/Instant.ts"
import { printableJson } from "../domain/Printable.ts"
import { cards, type Row, table, widthOf } from "./Table.ts"

/** An instant as an answer writes it. */
export const instant = (millis: number | undefined): string | null => (millis === undefined ? null : isoOf(millis))

interface Context {
  readonly source?: string
}

// Their types are not known to TypeScript yet; both runtimes have them.
const { parse, rawJSON } = JSON as unknown as {
  readonly parse: (text: string, revive: (key: string, value: unknown, context: Context) => unknown) => unknown
  readonly rawJSON: (text: string) => unknown
}

const asWritten = (_: string, value: unknown, { source }: Context): unknown =>
  typeof value === "number" && source !== undefined ? rawJSON(source) : value

/** A JSON text as a part of an answer: its numbers keep all of their digits. */
export const written = (text: string): unknown => parse(text, asWritten)

const unknownIsNull = (value: unknown): unknown => {
  if (value === undefined) return null
  if (Array.isArray(value)) return value.map(unknownIsNull)
  const isPlain = typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype
  return isPlain ? Object.fromEntries(Object.entries(value).map(([name, one]) => [name, unknownIsNull(one)])) : value
}

/** A value on a line of its own, for machines. */
export const line = (value: unknown) => Console.log(printableJson(unknownIsNull(value)))

/** Says what there is, or what was done. */
export const give = (isJson: boolean, value: unknown, text: string) => (isJson ? line(value) : Console.log(text))

/** Rows as they fit: where there is no terminal, whoever reads has as much room as it takes. */
export const fitted = Effect.fnUntraced(function* (rows: ReadonlyArray<Row>) {
  const { columns } = yield* Terminal.Terminal
  const room = yield* columns
  const text = table(rows)
  return room === 0 || widthOf(text) <= room ? text : cards(rows)
})

/** What a list shows. */
export interface Listing<A> {
  readonly found: ReadonlyArray<A>
  /** For machines. */
  readonly record: (one: A) => unknown
  /** For people. */
  readonly row: (one: A) => Row
  /** What people read where there is none. */
  readonly nothing: string
  /** At most so many were looked for, which are called so: who sees as many is told that there may be more. */
  readonly limit?: { readonly most: number; readonly which: string } | undefined
}

/** Lists what was found. */
export const list = Effect.fnUntraced(function* <A>(isJson: boolean, listing: Listing<A>) {
  const { found, limit, nothing, record, row } = listing
  if (isJson) yield* line(found.map(record))
  else yield* Console.log(found.length === 0 ? nothing : yield* fitted(found.map(row)))
  if (limit !== undefined && found.length === limit.most)
    yield* Console.error(`the ${limit.which} ${limit.most}; --limit shows more, if there are`)
})
