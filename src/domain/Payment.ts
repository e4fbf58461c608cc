/** What a message must be to be stored as a payment: JSON text in UTF-8, within a size. */
import { Result } from "effect"

/** Why a message cannot be stored, found without asking the database. */
export type Undecodable = {
  readonly reason: "empty" | "too_large" | "invalid_utf8" | "invalid_json"
  /** May quote the body: for the dead letter's header, never for a log. */
  readonly detail: string
}

// ignoreBOM keeps a byte-order mark in the text, where JSON refuses it: dropping it would change the body in silence.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const refuse = (reason: Undecodable["reason"], detail: string) => Result.fail({ reason, detail })

const decodeUtf8 = (body: Uint8Array): string | undefined => {
  try {
    return utf8.decode(body)
  } catch {
    return undefined
  }
}

/**
 * The syntax error of a text that is not JSON. A text that exhausts the parser (nesting) is left to the database, whose
 * limit is the one that counts.
 */
const jsonProblem = (text: string): string | undefined => {
  try {
    JSON.parse(text)
    return undefined
  } catch (error) {
    return error instanceof SyntaxError ? error.message : undefined
  }
}

/** The body's own text if it is JSON, unchanged to the last digit; otherwise why it is not. */
export const decodePayload = (body: Uint8Array, maxBytes: number): Result.Result<string, Undecodable> => {
  if (body.length === 0) return refuse("empty", "the body is empty")
  if (body.length > maxBytes) return refuse("too_large", `${body.length} bytes, at most ${maxBytes} are taken`)
  const text = decodeUtf8(body)
  if (text === undefined) return refuse("invalid_utf8", "the body is not UTF-8")
  const problem = jsonProblem(text)
  return problem === undefined ? Result.succeed(text) : refuse("invalid_json", problem)
}
