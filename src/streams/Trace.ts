/** The trace that a message belongs to, as its headers say it (W3C Trace Context). */
import { Option, Predicate, type Tracer } from "effect"
import { HttpTraceContext } from "effect/http"
import type { MessageContent } from "../domain/ports/Broker.ts"

/** The headers that carry a trace on. */
export interface Trace {
  readonly traceparent: string
  readonly tracestate?: string
}

type Headers = MessageContent["headers"]

/** The trace that the headers of a message name, whether or not it is well formed. */
export const traceIn = ({ traceparent, tracestate }: Headers): Trace | undefined => {
  if (!Predicate.isString(traceparent)) return undefined
  return Predicate.isString(tracestate) ? { traceparent, tracestate } : { traceparent }
}

/** The span that a message was published in, if its headers name one. */
export const publisherOf = (headers: Headers): Option.Option<Tracer.ExternalSpan> =>
  Predicate.isString(headers.traceparent)
    ? HttpTraceContext.fromHeaders({ traceparent: headers.traceparent } as never)
    : Option.none()

const flagsOf = ({ sampled }: Tracer.AnySpan): string => (sampled ? "01" : "00")

/** What goes on from a span; what tracing systems noted of its trace before goes with it. */
export const traceFrom = (
  span: Tracer.AnySpan,
  { traceparent: before, tracestate }: { readonly [Name in keyof Trace]?: unknown } = {}
): Trace => {
  const traceId = span.traceId.padStart(32, "0")
  const traceparent = `00-${traceId}-${span.spanId}-${flagsOf(span)}`
  const isOfThisTrace = Predicate.isString(before) && before.includes(traceId)
  return isOfThisTrace && Predicate.isString(tracestate) ? { traceparent, tracestate } : { traceparent }
}
