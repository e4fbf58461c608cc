import { Data } from "effect"

/** A server of the tests could not be found, started, stopped or reached. */
export class ServerError extends Data.TaggedError("ServerError")<{
  readonly message: string
  readonly cause?: unknown
}> {}
