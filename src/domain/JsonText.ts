/**
 * Parts of a JSON text, as they were written: parsing and writing again would change the digits of numbers.
 *
 * The text has to be JSON already; what is not gives any answer at all.
 */

const isSpace = (character: string | undefined): boolean =>
  character === " " || character === "\n" || character === "\r" || character === "\t"

const afterSpace = (text: string, at: number): number => {
  let end = at
  while (isSpace(text[end])) end++
  return end
}

/** After the string that begins at a quote. */
const afterString = (text: string, at: number): number => {
  let end = at + 1
  while (end < text.length && text[end] !== '"') end += text[end] === "\\" ? 2 : 1
  return end + 1
}

/** After the object or list that begins at a bracket. */
const afterBrackets = (text: string, at: number): number => {
  let depth = 0
  let end = at
  do {
    const character = text[end]
    if (character === '"') {
      end = afterString(text, end)
      continue
    }
    if (character === "{" || character === "[") depth++
    if (character === "}" || character === "]") depth--
    end++
  } while (depth > 0 && end < text.length)
  return end
}

const afterValue = (text: string, at: number): number => {
  if (text[at] === '"') return afterString(text, at)
  if (text[at] === "{" || text[at] === "[") return afterBrackets(text, at)
  let end = at
  while (end < text.length && !",}] \n\r\t".includes(text[end] ?? "")) end++
  return end
}

/** The text of an object's member: the last one of that name, which is the one that `JSON.parse` takes. */
export const memberOf = (text: string, name: string): string | undefined => {
  let found: string | undefined
  let at = afterSpace(text, 0)
  if (text[at] !== "{") return undefined
  at = afterSpace(text, at + 1)
  while (text[at] === '"') {
    const nameEnd = afterString(text, at)
    const written = text.slice(at, nameEnd)
    const start = afterSpace(text, afterSpace(text, nameEnd) + 1)
    const end = afterValue(text, start)
    if (written === `"${name}"` || (written.includes("\\") && JSON.parse(written) === name)) {
      found = text.slice(start, end)
    }
    // behind the comma, if there is one
    at = afterSpace(text, afterSpace(text, end) + 1)
  }
  return found
}

/** Fewer digits than these every double holds. */
const manyDigits = /\d[\d.]{15}/

const decimal = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/

/** The same text for the same decimal, however it is written. */
const canonical = (text: string): string => {
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = decimal.exec(text) ?? []
  const digits = `${whole}${fraction}`.replace(/^0+/, "")
  const significant = digits.replace(/0+$/, "")
  if (significant === "") return "0"
  return `${sign}${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`
}

const asWritten = (_: string, value: unknown, context?: { readonly source?: string }): unknown => {
  const source = context?.source
  if (typeof value !== "number" || source === undefined) return value
  return canonical(String(value)) === canonical(source) ? value : source
}

/**
 * The value of a JSON text, which `JSON.parse` says is `parsed`; but a number that a double does not hold as it was
 * written is its own text.
 */
export const withWrittenNumbers = (text: string, parsed: unknown): unknown =>
  manyDigits.test(text) ? JSON.parse(text, asWritten) : parsed
