/** JSON text as PostgreSQL's `jsonb` takes it: which texts are one value, and which it refuses for a simple reason. */
import { Result } from "effect"

/** Why PostgreSQL would refuse a text, with its SQLSTATE. */
export interface Refusal {
  readonly sqlState: string
  readonly detail: string
}

/** The precision of `numeric`: https://www.postgresql.org/docs/current/datatype-numeric.html */
const mostDigitsBeforePoint = 131_072
const mostDigitsAfterPoint = 16_383
const largestExponent = 2 ** 30 - 2

/** PostgreSQL has a limit of its stack, not of levels; with its default it takes a little more than this. */
const deepestNesting = 10_000

/** A text of its own for each value: equal for texts that `jsonb` holds to be equal, different for all others. */
export const canonical = (text: string): Result.Result<string, Refusal> => {
  const refusal = syntaxRefusal(text) ?? tokenRefusal(text)
  return refusal === undefined ? Result.succeed(canonicalText(text)) : Result.fail(refusal)
}

const syntaxRefusal = (text: string): Refusal | undefined => {
  try {
    JSON.parse(text)
    return undefined
  } catch (error) {
    return error instanceof SyntaxError ? { sqlState: "22P02", detail: error.message } : tooDeep
  }
}

const tooDeep: Refusal = { sqlState: "54001", detail: "stack depth limit exceeded" }

/** Strings, numbers, words and brackets; what is between them carries no meaning once the syntax is known to be right. */
const tokensOf = (text: string): ReadonlyArray<string> =>
  text.match(/"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*|[[\]{}]|[a-z]+/g) ?? []

// Looked for in every token: `jsonb` refuses them in a value that a repeated key replaces, too.
const tokenRefusal = (text: string): Refusal | undefined => {
  let depth = 0
  for (const token of tokensOf(text)) {
    if (token === "[" || token === "{") depth++
    if (token === "]" || token === "}") depth--
    const refusal = depth > deepestNesting ? tooDeep : scalarRefusal(token)
    if (refusal !== undefined) return refusal
  }
  return undefined
}

const scalarRefusal = (token: string): Refusal | undefined => {
  if (token.startsWith('"')) return stringRefusal(JSON.parse(token))
  return /^[-\d]/.test(token) ? numberRefusal(decimalOf(token)) : undefined
}

const stringRefusal = (value: string): Refusal | undefined => {
  // In Unicode mode a whole surrogate pair is one character, and not in this range.
  const refused = /\0|[\ud800-\udfff]/u.exec(value)
  if (refused === null) return undefined
  return refused[0] === "\0"
    ? { sqlState: "22P05", detail: "unsupported Unicode escape sequence: \\u0000" }
    : { sqlState: "22P02", detail: "half of a surrogate pair" }
}

const numberRefusal = ({ digits, exponent, writtenExponent }: Decimal): Refusal | undefined =>
  writtenExponent > largestExponent ||
  -exponent > mostDigitsAfterPoint ||
  (digits !== "" && digits.length + exponent > mostDigitsBeforePoint)
    ? { sqlState: "22003", detail: "value overflows numeric format" }
    : undefined

/** `digits × 10 ^ exponent`; no digits are zero. */
interface Decimal {
  readonly sign: string
  readonly digits: string
  readonly exponent: number
  readonly writtenExponent: number
}

const decimalOf = (token: string): Decimal => {
  const [, sign = "", whole = "", fraction = "", written = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE](.+))?$/.exec(token) ?? []
  const digits = (whole + fraction).replace(/^0+/, "")
  return { sign, digits, exponent: Number(written) - fraction.length, writtenExponent: Number(written) }
}

const canonicalNumber = ({ sign, digits, exponent }: Decimal): string => {
  const significant = digits.replace(/0+$/, "")
  return significant === "" ? "0" : `${sign}${significant}e${exponent + digits.length - significant.length}`
}

const canonicalScalar = (token: string): string =>
  token.startsWith('"')
    ? JSON.stringify(JSON.parse(token))
    : /^[-\d]/.test(token)
      ? canonicalNumber(decimalOf(token))
      : token

interface Container {
  readonly isObject: boolean
  readonly parts: Array<string>
}

// A stack of our own: nesting that PostgreSQL takes would exhaust the runtime's.
const canonicalText = (text: string): string => {
  const root: Container = { isObject: false, parts: [] }
  const outer: Array<Container> = []
  let current = root
  for (const token of tokensOf(text)) {
    if (token === "[" || token === "{") {
      outer.push(current)
      current = { isObject: token === "{", parts: [] }
    } else if (token === "]" || token === "}") {
      const closed = close(current)
      current = outer.pop() ?? root
      current.parts.push(closed)
    } else current.parts.push(canonicalScalar(token))
  }
  return root.parts.join()
}

const close = ({ isObject, parts }: Container): string => {
  if (!isObject) return `[${parts.join()}]`
  // Of keys that repeat, the last wins; their order means nothing.
  const fields = new Map<string, string>()
  for (let index = 0; index < parts.length; index += 2) fields.set(parts[index] ?? "", parts[index + 1] ?? "")
  return `{${[...fields]
    .map(([key, value]) => `${key}:${value}`)
    .sort()
    .join()}}`
}
