/** Text of strangers as a terminal may show it: what could move its cursor, colour it or hide something is spelt out. */

const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu
const unsafeButLines = /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

const escaped = (text: string): string =>
  Array.from({ length: text.length }, (_, index) => `\\u${text.charCodeAt(index).toString(16).padStart(4, "0")}`).join(
    ""
  )

/** On one line. */
export const printable = (text: string): string => text.replace(unsafe, escaped)

/** With its lines and tabs. */
export const printableLines = (text: string): string => text.replace(unsafeButLines, escaped)

/** A value as JSON on one line, whatever it is; still JSON, since strings alone can hold such characters. */
export const printableJson = (value: unknown): string => printable(JSON.stringify(value, plain) ?? "null")

const plain = (_: string, value: unknown): unknown => (typeof value === "bigint" ? `${value}` : value)

/** The beginning of a longer text. */
export const shortened = (text: string, characters: number): string =>
  text.length <= characters ? text : `${text.slice(0, characters - 1).toWellFormed()}…`
