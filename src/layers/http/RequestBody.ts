/** The body of a request, no more of it than is taken, and within a time. */
import { type Duration, Effect, Stream } from "effect"
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
  return (request: HttpServerRequest.HttpServerRequest) => {
    if (Number(request.headers["content-length"] ?? 0) > maxBodyBytes) return tooLarge
    const chunks: Array<Uint8Array> = []
    let bytes = 0
    // The stream, and not the whole at once: giving that up would break the connection before the answer is out.
    return request.stream.pipe(
      Stream.runForEachArray((next) => {
        for (const chunk of next) {
          chunks.push(chunk)
          bytes += chunk.length
        }
        return bytes > maxBodyBytes ? tooLarge : Effect.void
      }),
      // the client is gone: nobody reads the answer
      Effect.catchTag("HttpServerError", () => Effect.interrupt),
      Effect.timeoutOrElse({ duration: requestTimeout, orElse: () => late }),
      Effect.map(() => joined(chunks))
    )
  }
}
