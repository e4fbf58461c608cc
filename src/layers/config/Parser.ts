/** How the text of a variable becomes a value. Numbers are strict: no "10abc", "1e3", "+1", " 5 " or "007". */

import { isIPv6 } from "node:net"
import { Duration, Redacted, Result } from "effect"

/** A failure says what is taken instead. */
export interface Parser<A> {
  readonly takes: string
  readonly parse: (text: string) => Result.Result<A, string>
}

/** Both ends belong to the range. */
export interface Range {
  readonly minimum: number
  readonly maximum: number
  readonly unit?: string
}

const decimalDigits = /^(0|[1-9]\d*)(\.\d+)?$/
const wholeDigits = /^(0|[1-9]\d*)$/

/** Takes what satisfies the predicate. */
const accepting = (takes: string, accepts: (text: string) => boolean): Parser<string> => ({
  takes,
  parse: (text) => (accepts(text) ? Result.succeed(text) : Result.fail(takes))
})

/** The same texts, another value. */
export const map = <A, B>(parser: Parser<A>, f: (value: A) => B): Parser<B> => ({
  takes: parser.takes,
  parse: (text) => Result.map(parser.parse(text), f)
})

const number = (pattern: RegExp, kind: string, { minimum, maximum, unit }: Range): Parser<number> => {
  const isTaken = (text: string) => pattern.test(text) && Number(text) >= minimum && Number(text) <= maximum
  const takes = `${kind} from ${minimum} to ${maximum}${unit === undefined ? "" : ` (${unit})`}`
  return map(accepting(takes, isTaken), Number)
}

export const integer = (range: Range): Parser<number> => number(wholeDigits, "a whole number", range)

export const port: Parser<number> = integer({ minimum: 1, maximum: 65535 })

/** Decimals are allowed. */
export const seconds = (range: Range): Parser<Duration.Duration> =>
  map(number(decimalDigits, "a number", { ...range, unit: "seconds" }), (value) =>
    Duration.millis(Math.round(value * 1000))
  )

/** Decimals are allowed. */
export const hours = (range: Range): Parser<Duration.Duration> =>
  map(number(decimalDigits, "a number", { ...range, unit: "hours" }), (value) =>
    Duration.millis(Math.round(value * 3_600_000))
  )

export const millis = (range: Range): Parser<Duration.Duration> =>
  map(integer({ ...range, unit: "milliseconds" }), Duration.millis)

/** What `parse` gives; `undefined` is none. */
export const parsed = <A>(takes: string, parse: (text: string) => A | undefined): Parser<A> => ({
  takes,
  parse: (text) => {
    const value = parse(text)
    return value === undefined ? Result.fail(takes) : Result.succeed(value)
  }
})

/** Several, separated by commas. */
export const listOf = <A>(parser: Parser<A>): Parser<ReadonlyArray<A>> => {
  const takes = `${parser.takes}, or several separated by commas`
  return {
    takes,
    parse: (text) => Result.mapError(Result.all(text.split(",").map((part) => parser.parse(part.trim()))), () => takes)
  }
}

const amountAndUnit = /^(0|[1-9]\d*)(\.\d+)? (second|minute|hour|day|week)s?$/

/** A number and its unit, from `minimum` up to `maximum`. */
export const duration = (maximum: Duration.Duration, minimum = Duration.zero): Parser<Duration.Duration> => {
  const least = Duration.isZero(minimum) ? "" : `at least ${Duration.toDays(minimum)} and `
  const takes = `a time such as "90 seconds", "12 hours" or "7 days", ${least}at most ${Duration.toDays(maximum)} days`
  return {
    takes,
    parse: (text) => {
      const value = amountAndUnit.test(text) ? Duration.fromInputUnsafe(text as Duration.Input) : undefined
      return value !== undefined && Duration.between(value, { minimum, maximum })
        ? Result.succeed(value)
        : Result.fail(takes)
    }
  }
}

/** One of these words, upper or lower case. */
export const oneOf = <const A>(
  words: Readonly<Record<string, A>>,
  takes = Object.keys(words)
    .join(", ")
    .replace(/, (\w+)$/, " or $1")
): Parser<A> => ({
  takes,
  parse: (text) => {
    const word = text.toLowerCase()
    return Object.hasOwn(words, word) ? Result.succeed(words[word] as A) : Result.fail(takes)
  }
})

const answers = { true: true, false: false, yes: true, no: false, 1: true, 0: false }
export const flag: Parser<boolean> = oneOf(answers, "true or false (yes or no, 1 or 0)")

/** The word stands for no limit at all. */
export const orWord = <A>(word: string, parser: Parser<A>): Parser<A | undefined> => {
  const takes = `${parser.takes}, or ${word}`
  return {
    takes,
    parse: (text) =>
      text.toLowerCase() === word ? Result.succeed(undefined) : Result.mapError(parser.parse(text), () => takes)
  }
}

const isClean = (text: string) => text.trim() === text && !/\p{Cc}/u.test(text)

/** A word or several: spaces around them are a slip, and control characters are too. */
export const text: Parser<string> = accepting("any text without spaces around it", isClean)

/** Text of so many bytes at most. */
export const shortText = (longest: number): Parser<string> =>
  accepting(
    `text of at most ${longest} bytes, without spaces around it`,
    (given) => isClean(given) && new TextEncoder().encode(given).length <= longest
  )

/** AMQP gives names one byte for their length. */
export const longestQueueName = 255
export const queueName: Parser<string> = accepting(
  `a name of at most ${longestQueueName} bytes, without spaces around it`,
  (name) => isClean(name) && new TextEncoder().encode(name).length <= longestQueueName
)

/** A namespace of a Kubernetes cluster. */
export const namespace: Parser<string> = accepting("a namespace", (name) =>
  /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)
)

export const isHost = (host: string): boolean =>
  /^[a-z0-9_]([a-z0-9._-]*[a-z0-9_.])?$/i.test(host) || (isIPv6(host) && !host.includes("%"))

export const host: Parser<string> = accepting("a host name or an IP address", isHost)

export const hostOrSocketFolder: Parser<string> = accepting(
  "a host name, an IP address, or the folder of a Unix socket",
  (text) => isHost(text) || (text.startsWith("/") && isClean(text))
)

const isWebAddress = (text: string) => URL.canParse(text) && /^https?:\/\/[^@]+$/i.test(text)
export const webAddress: Parser<string> = accepting("an http:// or https:// address without credentials", isWebAddress)

/** Any text at all, kept out of sight. */
export const secret: Parser<Redacted.Redacted> = {
  takes: "any text",
  parse: (text) => Result.succeed(Redacted.make(text))
}

/** Whether a header of a request can carry it as it is. */
export const isVisible = (text: string): boolean => /^[\x21-\x7e]+$/.test(text)

/** Several secrets for headers, separated by commas or on lines of their own; `what` says what they are. */
export const secrets = (what: string): Parser<ReadonlyArray<Redacted.Redacted>> => {
  const takes = `${what} of visible ASCII characters, separated by commas`
  return {
    takes,
    parse: (text) => {
      const all = text.split(/[,\n]/).map((one) => one.trim())
      return all.every(isVisible) ? Result.succeed(all.map((one) => Redacted.make(one))) : Result.fail(takes)
    }
  }
}
