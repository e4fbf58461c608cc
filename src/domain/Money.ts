/**
 * Amounts of money, held exactly: whole minor units, never a float.
 *
 * An amount is written with at most two places, as a JSON number or as text. It has fifteen digits at most, the most
 * that every program keeps that reads a JSON number as a double: such a number is the decimal that was written, again.
 */
import { Schema, type SchemaAST, SchemaTransformation } from "effect"

const written = /^(0|[1-9]\d{0,12})(\.\d{1,2})?$/
const takes = "an amount above zero, written with at most 13 digits and two places, such as 12.34"

/** The text of an amount in minor units; `undefined` if it is none, zero included. */
export const minorUnitsOf = (text: string): bigint | undefined => {
  if (!written.test(text)) return undefined
  const [whole = "", places = ""] = text.split(".")
  const minorUnits = BigInt(whole + places.padEnd(2, "0"))
  return minorUnits > 0n ? minorUnits : undefined
}

/** Minor units as text, with two places. */
export const textOf = (minorUnits: bigint): string => {
  const digits = String(minorUnits).padStart(3, "0")
  return `${digits.slice(0, -2)}.${digits.slice(-2)}`
}

const writtenAmount = "paystream/domain/Money/writtenAmount"

const Written = Schema.Union([Schema.String, Schema.Finite])
  .annotate({ [writtenAmount]: true })
  .check(Schema.makeFilter((amount: string | number) => minorUnitsOf(String(amount)) !== undefined, { message: takes }))

/** The largest amount: fifteen digits. */
export const largest = 999_999_999_999_999n

/** Decodes to minor units, encodes to text with two places. */
export const Amount = Written.pipe(
  Schema.decodeTo(
    Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: 1n, maximum: largest })),
    SchemaTransformation.transform({
      // the filter before has seen to it that it is an amount
      decode: (amount: string | number): bigint => minorUnitsOf(String(amount)) ?? 0n,
      encode: (minorUnits: bigint): string | number => textOf(minorUnits)
    })
  )
).annotate({ description: takes })

/** A currency as ISO 4217 writes it. */
export const Currency = Schema.String.check(
  Schema.isPattern(/^[A-Z]{3}$/, { message: "a currency of three capital letters, such as BRL" })
)

/** Of an amount that names none. */
export const defaultCurrency = "BRL"

const partsOf = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.AST> => {
  const encoded = ast.encoding?.map(({ to }) => to) ?? []
  switch (ast._tag) {
    case "Objects":
      return [...encoded, ...[...ast.propertySignatures, ...ast.indexSignatures].map(({ type }) => type)]
    case "Arrays":
      return [...encoded, ...ast.elements, ...ast.rest]
    case "Union":
      return [...encoded, ...ast.types]
    case "Declaration":
      return [...encoded, ...ast.typeParameters]
    case "Suspend":
      return [...encoded, ast.thunk()]
    default:
      return encoded
  }
}

/** Whether a schema reads amounts, wherever they are in it. */
export const readsAmounts = ({ ast }: Schema.Top): boolean => {
  const seen = new Set<SchemaAST.AST>()
  const reads = (ast: SchemaAST.AST): boolean => {
    if (seen.has(ast)) return false
    seen.add(ast)
    return ast.annotations?.[writtenAmount] === true || partsOf(ast).some(reads)
  }
  return reads(ast)
}
