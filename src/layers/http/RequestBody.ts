/** The body of a request, no more of it than is taken, and within a time. */
import { ByteSize, type Duration, Effect } from "effect"
import { HttpIncomingMessage, type HttpServerRequest } from "effect/http"
import * as Problems from "./Problems.ts"

export interface BodyLimits {
  readonly maxBodyBytes: number
  readonly requestTimeout: Duration.Duration
}

/** Reads bodies within the limits; what is left of one that is too large is not waited for. */
export const reader = ({ maxBodyBytes, requestTimeout }: BodyLimits) => {
  const limit = ByteSize.bytes(maxBodyBytes)
  const tooLarge = Effect.suspend(() =>
    Effect.fail(new Problems.BodyTooLarge({ detail: `at most ${maxBodyBytes} bytes are taken` }))
  )
  const late = Effect.suspend(() => Effect.fail(new Problems.RequestTimeout()))
  return (request: HttpServerRequest.HttpServerRequest) => {
    if (Number(request.headers["content-length"] ?? 0) > maxBodyBytes) return tooLarge
    return request.arrayBuffer.pipe(
      Effect.provideService(HttpIncomingMessage.MaxBodySize, limit),
      Effect.map((body) => new Uint8Array(body)),
      Effect.catch(({ reason }) =>
        reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"
          ? tooLarge
          : // the client is gone: nobody reads the answer
            Effect.interrupt
      ),
      Effect.timeoutOrElse({ duration: requestTimeout, orElse: () => late })
    )
  }
}
