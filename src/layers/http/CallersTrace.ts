/** The trace of whoever sent a request, which what is published for it belongs to (W3C Trace Context). */
import { Effect } from "effect"
import type { HttpServerRequest } from "effect/http"
import { CurrentMessage } from "../../streams/CurrentMessage.ts"
import type { Trace } from "../../streams/Trace.ts"

type Request = HttpServerRequest.HttpServerRequest

/** Version, trace, parent and flags; the version ff and ids of zeros alone stand for none. */
const takenTraceparent = /^(?!ff)[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}$/

/** So much of it is to be passed on, says the standard; more might not fit among a message's headers. */
const takenTracestate = /^[\x20-\x7e]{1,512}$/

/** As it came in; `undefined` where none did, or nobody could go on with it. */
export const callersTrace = ({ traceparent, tracestate }: Request["headers"]): Trace | undefined => {
  if (traceparent === undefined || !takenTraceparent.test(traceparent)) return undefined
  return tracestate !== undefined && takenTracestate.test(tracestate) ? { traceparent, tracestate } : { traceparent }
}

/** A handler of requests that are worked on in their callers' traces. */
export const inCallersTrace =
  <Asked extends { readonly request: Request }, A, E, R>(handle: (asked: Asked) => Effect.Effect<A, E, R>) =>
  (asked: Asked): Effect.Effect<A, E, R> => {
    const trace = callersTrace(asked.request.headers)
    if (trace === undefined) return handle(asked)
    return Effect.provideService(handle(asked), CurrentMessage, { id: undefined, nextId: () => undefined, trace })
  }
