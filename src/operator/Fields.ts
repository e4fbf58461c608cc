/** Fields as the API server checks them: bounded, with descriptions, and with rules in its own language (CEL). */
import { Schema } from "effect"

interface Text {
  readonly maximum: number
  readonly pattern: RegExp
  readonly description: string
}

/** As the API server counts: by code points, where JavaScript's own length has two for some. */
export const isMaxCodePoints = (maximum: number) =>
  Schema.makeFilter<string>((text) => text.length <= maximum || [...text].length <= maximum, {
    expected: `a text of at most ${maximum} characters`,
    toJsonSchema: () => [{ maxLength: maximum }, true],
    arbitraryConstraint: { maxLength: maximum }
  })

/** Text that is not empty. */
export const boundedText = ({ description, maximum, pattern }: Text) =>
  Schema.String.check(Schema.isMinLength(1), isMaxCodePoints(maximum), Schema.isPattern(pattern)).annotate({
    description
  })

/**
 * Patterns are read by the API server too, in another dialect: of `\s`, `\S` and `.` it has its own idea, so they are
 * not used.
 */
export const word = /^[^ \t\n\f\r]+$/u
/** The same with spaces within. */
export const words = /^[^ \t\n\f\r]([^\n]*[^ \t\n\f\r])?$/u

/** The name of an object of Kubernetes. */
export const kubernetesName = (description: string) =>
  boundedText({ maximum: 253, pattern: /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/u, description })

interface Whole {
  readonly minimum: number
  readonly maximum: number
  readonly description: string
  /** What the API server fills in. */
  readonly default?: number
}

/** A whole number; both ends belong to it. */
export const wholeNumber = ({ maximum, minimum, ...about }: Whole) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum })).annotate(about)

/** A time as RFC 3339 writes it. */
export const DateTime = Schema.String.annotate({ format: "date-time" })

/** As Kubernetes reads it. */
const amount = /^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)))?$/u

const isWhole = Schema.makeFilter<number>(Number.isInteger, { expected: "a whole number", toJsonSchema: () => ({}) })

/** An amount as Kubernetes writes it: `250m`, `1Gi`, 2. */
const Quantity = Schema.Union([
  Schema.Finite.check(isWhole),
  Schema.String.check(isMaxCodePoints(64), Schema.isPattern(amount))
]).annotate({ "x-kubernetes-int-or-string": true })

/** Amounts by what they are of: cpu, memory. */
export const Quantities = Schema.Record(Schema.String, Quantity)

/** Rules that the API server checks with every change, each with what it says when one is broken. */
export const rules = (...all: ReadonlyArray<readonly [rule: string, message: string, fieldPath?: string]>) => ({
  "x-kubernetes-validations": all.map(([rule, message, fieldPath]) => ({
    rule,
    message,
    ...(fieldPath === undefined ? {} : { fieldPath })
  }))
})
