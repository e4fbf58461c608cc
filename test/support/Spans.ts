/** A tracer that keeps the spans it makes, in the order in which they end. */
import { Effect, Layer, Option, Tracer } from "effect"
import { TracingEnabled } from "../../src/streams/Tracing.ts"

export interface EndedSpan {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentId: string | undefined
  readonly isError: boolean
  readonly attributes: Readonly<Record<string, unknown>>
}

/** Spans that have ended, in a list that grows, and what a process has that is traced. */
export const make = () => {
  const ended: Array<EndedSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      const end = span.end.bind(span)
      span.end = (time, exit) => {
        end(time, exit)
        ended.push({
          name: span.name,
          traceId: span.traceId,
          spanId: span.spanId,
          parentId: Option.getOrUndefined(Option.map(span.parent, ({ spanId }) => spanId)),
          isError: exit._tag === "Failure",
          attributes: Object.fromEntries(span.attributes)
        })
      }
      return span
    }
  })
  return { ended, layer: Layer.merge(Layer.succeed(Tracer.Tracer, tracer), Layer.succeed(TracingEnabled, true)) }
}

/** The header of a span. */
export const traceparentOf = ({ spanId, traceId }: EndedSpan): string => `00-${traceId}-${spanId}-01`

/** Runs a test, and gives the spans that ended meanwhile. */
export const traced = <A, E, R>(test: (ended: ReadonlyArray<EndedSpan>) => Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const { ended, layer } = make()
    return Effect.provide(test(ended), layer)
  })
