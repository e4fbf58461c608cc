/** The body of a request, no more of it than is taken, and within a time. */
import type { IncomingMessage } from "node:http"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Duration, Effect } from "effect"
import type { HttpServerRequest } from "effect/http"
import * as Problems from "./Problems.ts"

export interface BodyLimits {
  readonly maxBodyBytes: number
  readonly requestTimeout: Duration.Duration
}

const joined = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => {
  const [only] = chunks
  return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks)
}

/** Reads bodies within the limits; what is left of one that is too large is not waited for. */
export const reader = ({ maxBodyBytes, requestTimeout }: BodyLimits) => {
  const tooLarge = Effect.suspend(() =>
    Effect.fail(new Problems.BodyTooLarge({ detail: `at most ${maxBodyBytes} bytes are taken` }))
  )
  const late = Effect.suspend(() => Effect.fail(new Problems.RequestTimeout()))
  const timeoutMillis = Duration.toMillis(requestTimeout)

  // By the server's own events: a Stream of them takes a third of all that a request costs. What is not read stays where
  // it is: to destroy it would break the connection before the answer is out.
  const arriving = (source: IncomingMessage) =>
    Effect.callback<Uint8Array, Problems.BodyTooLarge | Problems.RequestTimeout>((resume) => {
      const chunks: Array<Uint8Array> = []
      let bytes = 0
      const leave = () => {
        clearTimeout(timer)
        source.off("data", onData).off("end", onEnd).off("close", onGone).off("error", onGone)
      }
      const end = (result: typeof tooLarge | typeof late | Effect.Effect<Uint8Array>) => {
        leave()
        resume(result)
      }
      const onData = (chunk: Uint8Array) => {
        chunks.push(chunk)
        bytes += chunk.length
        if (bytes > maxBodyBytes) stop(tooLarge)
      }
      const stop = (problem: typeof tooLarge | typeof late) => {
        source.pause()
        end(problem)
      }
      const onEnd = () => end(Effect.succeed(joined(chunks)))
      // nobody reads the answer
      const onGone = () => end(Effect.interrupt)
      const timer = setTimeout(() => stop(late), timeoutMillis)
      source.on("data", onData).on("end", onEnd).on("close", onGone).on("error", onGone)
      return Effect.sync(leave)
    })

  return (request: HttpServerRequest.HttpServerRequest) => {
    const source = NodeHttpServerRequest.toIncomingMessage(request) as IncomingMessage
    if (Number(source.headers["content-length"] ?? 0) > maxBodyBytes) return tooLarge
    // a client that waits to be told that it may go on
    if (source.headers.expect !== undefined) NodeHttpServerRequest.toServerResponse(request).writeContinue()
    return arriving(source)
  }
}
