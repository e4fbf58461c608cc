/** YAML of plain values: objects, arrays, texts, numbers, booleans. */

const isPlain = (text: string): boolean =>
  /^[A-Za-z.][A-Za-z0-9 ._/()-]*$/.test(text) && !/ $|^\.?[\d.]+$|^(true|false|null|yes|no|on|off|y|n)$/i.test(text)

const scalar = (value: unknown): string => {
  if (typeof value !== "string") return JSON.stringify(value)
  if (isPlain(value)) return value
  return value.includes('"') && !/['\\\p{Cc}]/u.test(value) ? `'${value}'` : JSON.stringify(value)
}

const isEmpty = (value: object): boolean => Object.keys(value).length === 0

/** Nested values are indented by two spaces more. */
const lines = (value: unknown): ReadonlyArray<string> => {
  if (typeof value !== "object" || value === null) return [scalar(value)]
  if (isEmpty(value)) return [Array.isArray(value) ? "[]" : "{}"]
  if (Array.isArray(value))
    return value.flatMap((item) => lines(item).map((line, index) => `${index === 0 ? "- " : "  "}${line}`))
  return Object.entries(value).flatMap(([name, item]) => {
    const [first = "", ...rest] = lines(item)
    const isInline = typeof item !== "object" || item === null || isEmpty(item)
    return isInline
      ? [`${scalar(name)}: ${first}`]
      : [`${scalar(name)}:`, ...[first, ...rest].map((line) => `  ${line}`)]
  })
}

/** A document of its own. */
export const yaml = (value: unknown): string => `${lines(value).join("\n")}\n`
